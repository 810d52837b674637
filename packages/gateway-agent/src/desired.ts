import type { System } from '@vpn-gateway/config'
import type { DesiredState, Owner } from '@vpn-gateway/kernel'
import { desiredFirewall } from './firewall.ts'
import { desiredRouting } from './routing.ts'
import type { Tunnel } from './tunnel-file.ts'
import { desiredTunnel } from './wireguard.ts'
import type { World } from './world.ts'

export const alias = 'vpn-gateway'

/**
 * How this agent's objects in the kernel are told from everybody else's. The attachment has the pod send everything but the
 * intranet to the virtual address, whose router sends it into a tunnel; without routers nobody has it. What clients send
 * before the filters stand goes there, and not out by the pod network, although a pod forwards as its node does.
 */
export function ownerOf({ gatewayNetwork }: System, { interface: dev }: Pick<World, 'interface'>): Owner {
  return {
    alias,
    protocol: 151,
    rulePriorities: [1500, 1599],
    chainPrefix: 'VG-',
    nftTables: [],
    untilFiltered: { via: gatewayNetwork.vip, dev },
  }
}

/** What the kernel of a gateway pod should hold. Pure. */
export function desired(system: System, tunnel: Tunnel, world: World): DesiredState {
  return {
    iptables: desiredFirewall(system, tunnel, world),
    ...desiredTunnel(system, tunnel, world),
    ...desiredRouting(system, tunnel, world),
  }
}
