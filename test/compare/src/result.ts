/** What the comparison counts, as it is told from inside the machine to the outside, and what becomes of it on paper. */

/** Ways to spread flows over gateways. */
export type Way = 'vpn-gateway' | 'ecmp' | 'resilient'

/** Everything that happens, in this order, and what it is called on paper. */
const events = {
  dies: 'a gateway dies',
  returns: 'it comes back',
  silent: 'a tunnel carries nothing',
  heard: 'it carries again',
  drains: 'a gateway drains',
  serves: 'it serves again',
  weighs: 'a gateway gets twice the weight',
  'router cut off': 'the active router is cut off',
  'router killed': 'its processes are killed',
  'router stopped': 'its processes are stopped',
  'rolling restart': 'both routers restart',
} as const

export type EventName = keyof typeof events
export const eventNames = Object.keys(events) as EventName[]
export const titleOfEvent = (name: EventName): string => events[name]

/** Whether a gateway goes without a word, so that its own flows have to end. */
export const takesGateway = (name: EventName): boolean => name === 'dies' || name === 'silent'

/** What one event cost. */
export interface Cost {
  /** Flows that were open before. */
  flows: number
  /** Flows that ended or fell silent. */
  lost: number
  /** Of them, those that were reset and did not go through the gateway that the event was about. */
  innocent: number
  /** Flows that went through that gateway before; 0 where the event is about none. */
  held: number
}

export interface WayResult {
  way: Way
  /** Flows for each exit, in the order of the gateways. */
  spread: number[]
  /** What each event cost; those of routers are absent where there is no second one to take over. */
  costs: Partial<Record<EventName, Cost>>
  /** Milliseconds from the gateway's death until nothing was sent to it any more; absent where that is done by hand. */
  outAfterMs?: number
}

const titles: Readonly<Record<Way, string>> = {
  'vpn-gateway': 'vpn-gateway (IPVS)',
  ecmp: 'ECMP, hashed on layers 3 and 4',
  resilient: 'ECMP, resilient nexthop group',
}

/** What a way is called on paper. */
export const titleOf = (way: Way): string => titles[way]

/** Renders the table in Markdown. */
export function renderTable(results: readonly WayResult[]): string {
  const cost = (event: EventName, { costs }: WayResult): string => {
    const { lost, innocent, held } = costs[event] ?? {}
    if (lost === undefined || innocent === undefined) return '—'
    return takesGateway(event) ? `${lost} lost, ${lost - innocent} of its own ${held}` : `${lost} lost`
  }
  const out = ({ outAfterMs }: WayResult) =>
    outAfterMs === undefined ? 'by hand' : `${(outAfterMs / 1000).toFixed(1)} s`
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const row = (title: string, cell: (result: WayResult) => string) => line([title, ...results.map(cell)])
  return [
    line([`of ${results[0]?.costs.dies?.flows ?? 0} flows`, ...results.map(({ way }) => titleOf(way))]),
    line(['---', ...results.map(() => '---')]),
    row('spread', ({ spread }) => spread.join(' / ')),
    ...eventNames.flatMap((event) => [
      row(titleOfEvent(event), (result) => cost(event, result)),
      ...(event === 'dies' ? [row('it is out of service after', out)] : []),
    ]),
  ].join('\n')
}
