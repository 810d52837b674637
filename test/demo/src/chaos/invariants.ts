/** What has to hold after every round, and what was found. */
import type { FlowReport } from '@vpn-gateway/lab'
import type { ChaosResult } from '../message.ts'

/** The invariants, in the order in which they are told. */
const invariants = {
  owner: 'at most one router holds the VIP once things have settled',
  leaks: 'not one packet left outside a tunnel',
  losses: 'flows were lost only on gateways that died or were cut off',
  connections: 'new connections work, outwards and inwards',
  ready: 'every agent is ready and every gateway in service',
  plan: 'the kernel holds what a fresh plan asks for',
  growth: 'nothing has grown: memory, descriptors, rules, routes, links, processes, namespaces',
} as const

export type Invariant = keyof typeof invariants

export const invariantNames = Object.keys(invariants) as Invariant[]

/** What is wrong after a round, one line each, by invariant. */
export type Findings = Record<Invariant, string[]>

export const noFindings = (): Findings => ({
  owner: [],
  leaks: [],
  losses: [],
  connections: [],
  ready: [],
  plan: [],
  growth: [],
})

/** Adds a round's findings to a run's. */
export function addFindings(result: ChaosResult['invariants'], round: string, findings: Findings): void {
  for (const name of invariantNames) {
    let entry = result.find((each) => each.name === invariants[name])
    if (entry === undefined) result.push((entry = { name: invariants[name], looks: 0, broken: [] }))
    entry.looks += 1
    entry.broken.push(...findings[name].map((problem) => `${round}: ${problem}`))
  }
}

/** What a fault may cost, and when; milliseconds from the mark that a report begins with. */
export interface Excuse {
  /** Exits whose flows may be lost, or go on by another one. */
  exits: ReadonlySet<string>
  fromMs: number
  untilMs: number
}

/**
 * Flows that were lost or changed their exit although it was not to be, one line for each way in which they did. What counts
 * is the exit that a flow had until then: nothing excuses one that leaves a gateway which works.
 */
export function unexcused({ resets, moves, stalled }: FlowReport, excuses: readonly Excuse[]): string[] {
  const innocent = (exit: string, afterMs: number): boolean =>
    !excuses.some(({ exits, fromMs, untilMs }) => exits.has(exit) && afterMs >= fromMs && afterMs <= untilMs)
  const ways = [
    ...resets
      .filter(({ exit, afterMs }) => innocent(exit.split('+').at(-1) ?? '', afterMs))
      .map(({ exit, error, afterMs }) => ({ what: `through ${exit} ended: ${error}`, afterMs })),
    ...moves
      .filter(({ from, afterMs }) => innocent(from, afterMs))
      .map(({ from, to, afterMs }) => ({ what: `went from ${from} to ${to}`, afterMs })),
  ]
  return [
    ...[...Map.groupBy(ways, ({ what }) => what)].map(([what, flows]) => `${flows.length} ${what}, ${timesOf(flows)}`),
    ...(stalled > 0 ? [`${stalled} are silent still`] : []),
  ]
}

/** When something happened, in seconds from the mark. */
function timesOf(all: readonly { afterMs: number }[]): string {
  const times = all.map(({ afterMs }) => afterMs)
  const [first, last] = [Math.min(...times), Math.max(...times)].map((time) => (time / 1000).toFixed(1))
  return first === last ? `after ${first} s` : `after ${first} to ${last} s`
}
