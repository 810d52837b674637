/** Every fault that the chaos run knows: what it is done to, how long it lasts and what it may cost. */
import { flushes, routerProcesses, topologyOf } from '@vpn-gateway/lab'

const { pods, nodes } = topologyOf('full')
const named = (kind: 'gateway' | 'client'): string[] => pods.filter((pod) => pod.kind === kind).map(({ name }) => name)

/** Names of the lab's gateways. */
export const gateways: readonly string[] = named('gateway')

/** Routers by what they are when the round begins, since which one is active depends on what was before. */
const roles = ['active', 'standby'] as const
export type Role = (typeof roles)[number]
export const isRole = (target: string): target is Role => roles.some((role) => role === target)

/** Gateways whose flows may be lost: none, the one that the fault is done to, or all. */
type Cost = 'none' | 'own' | 'all'

export interface FaultKind {
  /** What it can be done to: pods, nodes, roles of routers, or `all` gateways. */
  targets: readonly string[]
  /** A figure or a name that it takes, and which ones there are. */
  detail?: { name: string; of: readonly (string | number)[] }
  /** Least and most seconds from its beginning to its undoing. */
  lasts: readonly [number, number]
  cost: Cost
  /** Why flows may be lost; said in the table's line. */
  because?: string
  /** Nothing else happens in the same round. */
  alone?: true
  /** What of the system file it changes. Gateways know forwards as they were when their agents started. */
  changes?: 'weights' | 'forwards'
}

const router = { targets: roles, cost: 'none' } as const
const gateway = { targets: gateways, cost: 'own' } as const
/** Agents that a round may end, stop and start; a router's is one of its daemons. */
const agents = [...gateways, ...nodes.map(({ name }) => name)]

/** The whole list. */
const catalog = {
  'router-cut': { ...router, lasts: [2, 8] },
  'router-killed': { ...router, lasts: [1, 8] },
  'router-stopped': { ...router, lasts: [2, 10] },
  'router-deleted': { ...router, lasts: [1, 8] },
  'router-restarted': { ...router, lasts: [0, 4] },
  'daemon-killed': { ...router, lasts: [1, 4], detail: { name: 'process', of: routerProcesses } },
  'daemon-stopped': { ...router, lasts: [2, 10], detail: { name: 'process', of: routerProcesses } },
  'router-network-cut': { ...router, lasts: [2, 8] },
  'router-network-loss': { ...router, lasts: [3, 8], detail: { name: 'percent', of: [2, 10, 30] } },
  'gateway-network-cut': { ...router, lasts: [2, 8] },
  'gateway-killed': { ...gateway, lasts: [1, 8], because: 'its pod died' },
  'gateway-cut': { ...gateway, lasts: [1, 8], because: 'it was cut off' },
  'gateway-flapping': {
    ...gateway,
    lasts: [0, 0],
    detail: { name: 'times', of: [2, 3, 5] },
    because: 'it was cut off again and again',
  },
  'gateway-loss': {
    ...gateway,
    lasts: [3, 8],
    detail: { name: 'percent', of: [2, 10, 30] },
    because: 'health checks may have missed two answers',
  },
  'gateway-drained': { ...gateway, lasts: [2, 6], cost: 'none' },
  'agent-killed': { targets: agents, cost: 'none', lasts: [1, 8] },
  'agent-stopped': { targets: agents, cost: 'none', lasts: [2, 8] },
  'agent-restarted': {
    targets: agents,
    cost: 'own',
    lasts: [0, 4],
    because: 'its agent ended, and took it out of service',
  },
  'tunnel-deleted': { ...gateway, lasts: [2, 4], because: 'its tunnel was gone' },
  'endpoint-silent': { ...gateway, lasts: [2, 8], because: 'its tunnel carried nothing' },
  'tunnel-silent': { ...gateway, lasts: [2, 8], because: 'its tunnel carried nothing' },
  'endpoint-rotated': {
    ...gateway,
    lasts: [2, 8],
    because: 'its tunnel carried nothing until it had another endpoint',
  },
  'tunnel-file-changed': {
    ...gateway,
    cost: 'none',
    lasts: [2, 6],
    detail: { name: 'agent', of: ['running', 'dead'] },
  },
  'port-lease-changed': { ...gateway, cost: 'none', lasts: [2, 6], changes: 'forwards' },
  'rules-flushed': {
    targets: [...roles, ...gateways],
    cost: 'own',
    lasts: [2, 4],
    detail: { name: 'how', of: flushes },
    because: 'its address translation was gone',
  },
  'routes-flushed': {
    targets: [...roles, ...gateways],
    cost: 'own',
    lasts: [2, 4],
    because: 'it refused packets while it had no way for them',
  },
  'system-file-changed': {
    targets: gateways,
    cost: 'none',
    lasts: [3, 6],
    detail: { name: 'weight', of: [50, 300] },
    changes: 'weights',
  },
  'client-loss': {
    targets: named('client'),
    cost: 'none',
    lasts: [3, 8],
    detail: { name: 'percent', of: [2, 10, 30] },
  },
  'node-cut': {
    targets: nodes.map(({ name }) => name),
    cost: 'all',
    lasts: [2, 8],
    because: 'each half of the system had its own router',
    alone: true,
  },
  'conntrack-full': {
    targets: ['all'],
    cost: 'none',
    lasts: [2, 8],
    // No other fault can be healed without new connections.
    alone: true,
  },
  'all-gateways-cut': { targets: ['all'], cost: 'all', lasts: [2, 6], because: 'no gateway was left', alone: true },
} as const satisfies Record<string, FaultKind>

export type FaultName = keyof typeof catalog

export const faultNames = Object.keys(catalog) as FaultName[]

/** One fault of the list, by its name. */
export const kindOf = (name: FaultName): FaultKind => catalog[name]

/** One fault with all that it takes. */
export interface Fault {
  fault: FaultName
  on: string
  /** Present where its kind takes one. */
  detail?: string | number
  /** Milliseconds from the beginning of its round. */
  afterMs: number
  /** Milliseconds until it is undone. */
  forMs: number
}

/** Faults whose times overlap. */
export type Round = readonly Fault[]

/** The fault in a few words, as `gateway-loss gateway-1 10`. */
export const nameOf = ({ fault, on, detail }: Fault): string =>
  [fault, ...(on === 'all' ? [] : [on]), ...(detail === undefined ? [] : [String(detail)])].join(' ')

/** Gateways whose flows a fault may cost. */
export function costOf({ fault, on }: Fault): readonly string[] {
  const { cost } = kindOf(fault)
  if (cost === 'all') return gateways
  return gateways.filter((name) => cost === 'own' && name === on)
}

/** Gateways whose flows a round may cost, with the reason. */
export const mayLose = (round: Round): Map<string, string> =>
  new Map(round.flatMap((fault) => costOf(fault).map((name) => [name, kindOf(fault.fault).because ?? ''] as const)))

/**
 * Whether two faults may happen at once. Both routers together are a system without any, and two faults of one pod undo each
 * other's doing, as do two changes of the system file. While forwards are changed no other gateway's agent may start: it would
 * read them, and keep them.
 */
export function goTogether(one: Fault, other: Fault): boolean {
  const kinds = [kindOf(one.fault), kindOf(other.fault)]
  if (kinds.some(({ alone }) => alone === true) || one.on === other.on) return false
  if (isRole(one.on) && isRole(other.on)) return false
  if (kinds.every(({ changes }) => changes !== undefined)) return false
  return !kinds.some(({ changes }) => changes === 'forwards') || ![one, other].every(({ on }) => gateways.includes(on))
}
