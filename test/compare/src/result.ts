/** What the comparison counts, as it is told from inside the machine to the outside, and what becomes of it on paper. */

/** Ways to spread flows over gateways. */
export type Way = 'vpn-gateway' | 'ecmp' | 'resilient'

/** What one event cost. */
export interface Cost {
  /** Flows that were open before. */
  flows: number
  /** Flows that ended or fell silent. */
  lost: number
  /** Of them, those that did not go through the gateway that the event was about. */
  innocent: number
  /** Flows that went through that gateway before; 0 where the event is about none. */
  held: number
}

export interface WayResult {
  way: Way
  /** Flows for each exit, in the order of the gateways. */
  spread: number[]
  dies: Cost
  /** Milliseconds from the gateway's death until nothing was sent to it any more; undefined where that is done by hand. */
  outAfterMs?: number
  returns: Cost
  drains: Cost
  /** Undefined where there is no second router to take over. */
  routerCut?: Cost
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
  const rows: [string, (result: WayResult) => string][] = [
    ['spread', ({ spread }) => spread.join(' / ')],
    ['a gateway dies', ({ dies }) => `${dies.lost} lost, ${dies.held} were its own`],
    [
      'it is out of service after',
      ({ outAfterMs }) => (outAfterMs === undefined ? 'by hand' : `${(outAfterMs / 1000).toFixed(1)} s`),
    ],
    ['it comes back', ({ returns }) => `${returns.lost} lost`],
    ['a gateway drains', ({ drains }) => `${drains.lost} lost`],
    ['the active router is cut off', ({ routerCut }) => (routerCut === undefined ? '—' : `${routerCut.lost} lost`)],
  ]
  const flows = results[0]?.dies.flows ?? 0
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line([`of ${flows} flows`, ...results.map(({ way }) => titleOf(way))]),
    line(['---', ...results.map(() => '---')]),
    ...rows.map(([title, cell]) => line([title, ...results.map(cell)])),
  ].join('\n')
}
