import { existsSync } from 'node:fs'

/** What the agent finds out about the system while it runs; desired state depends on it. */
export interface World {
  /** Gateways that take new flows, with their IPVS weight, by address. */
  live: ReadonlyMap<string, number>
  /** Gateways that carry flows, those that take no new ones included. */
  inService: number
  /**
   * What becomes of a packet whose flow this router does not know. `reset` tells the application at once, and is right on
   * a settled active router. `drop` lets TCP ask again, and is right for anybody else: a router that was active for a
   * moment only may not have been sent the flow yet, and the other one carries it on.
   */
  orphans: 'reset' | 'drop'
  /** Whether the kernel has IPv6. */
  ipv6: boolean
}

/** Whether this network namespace has IPv6 at all; it has no such directory when booted with ipv6.disable=1. */
export function hasIpv6(): boolean {
  return existsSync('/proc/sys/net/ipv6')
}
