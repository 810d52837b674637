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

/**
 * Flows that were lost or changed their exit although it was not to be, one line for each way in which they did. A flow that
 * changed its exit (`first+second`; UDP, which knows no reset) had both.
 */
export function unexcused({ resets, perExit, stalled }: FlowReport, excused: ReadonlySet<string>): string[] {
  const innocent = (exit: string): boolean => !exit.split('+').some((each) => excused.has(each))
  const lost = Map.groupBy(
    resets.filter(({ exit }) => innocent(exit)),
    ({ exit, error }) => `through ${exit} ended: ${error}`,
  )
  const moved = Object.entries(perExit).filter(([exit]) => exit.includes('+') && innocent(exit))
  return [
    ...[...lost].map(([how, flows]) => `${flows.length} ${how}`),
    ...moved.map(([exit, flows]) => `${flows} changed their exit: ${exit}`),
    ...(stalled > 0 ? [`${stalled} are silent still`] : []),
  ]
}
