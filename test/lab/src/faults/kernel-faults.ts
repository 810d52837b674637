/** What somebody else does to the kernel state that an agent keeps; the agent is to put it back, so that there is no undo. */
import type { LabContext } from '../context.ts'
import { podNamed } from '../context.ts'
import { runIn } from '../topology/namespace.ts'
import type { PodKind } from '../topology/topology.ts'

/** How rules are flushed: `iptables -F`, which leaves the policies, or `nft flush ruleset`, which leaves nothing. */
export const flushes = ['iptables', 'nft'] as const
export type Flush = (typeof flushes)[number]

export interface KernelFaults {
  /** A gateway's WireGuard link is deleted, and with it the routes through it. */
  deleteTunnel(gateway: string): Promise<void>
  /** All rules of a pod's packet filter are flushed. */
  flushRules(pod: string, how: Flush): Promise<void>
  /** The routes of the tables that a router's or gateway's agent keeps for clients are flushed. */
  flushRoutes(pod: string): Promise<void>
}

const flushCommands: Record<Flush, string> = {
  iptables: 'for table in filter mangle nat raw; do iptables -t $table -F; done; ip6tables -F',
  nft: 'nft flush ruleset',
}

/** Tables of routes for what clients send. */
const clientTables: Partial<Record<PodKind, readonly number[]>> = { gateway: [151], router: [152, 153, 154] }

/** Makes these faults of one lab. */
export function createKernelFaults({ runner, topology }: LabContext): KernelFaults {
  const shell = async (pod: string, script: string): Promise<void> => {
    await runIn(runner, podNamed(topology, pod).name, ['sh', '-ec', script])
  }
  return {
    deleteTunnel: (gateway) => shell(gateway, 'ip link del wg0'),
    flushRules: (pod, how) => shell(pod, flushCommands[how]),
    flushRoutes: (pod) => {
      const tables = clientTables[podNamed(topology, pod).kind] ?? []
      return shell(pod, tables.map((table) => `ip route flush table ${table}`).join('\n'))
    },
  }
}
