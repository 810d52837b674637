import type { System } from '@vpn-gateway/config'
import type { DesiredState, Owner } from '@vpn-gateway/kernel'
import { desiredFirewall } from './firewall.ts'
import { desiredRouting } from './routing.ts'
import type { Tunnel } from './tunnel-file.ts'
import { desiredTunnel } from './wireguard.ts'
import type { World } from './world.ts'

/** How this agent's objects in the kernel are told from everybody else's. */
export const owner: Owner = {
  alias: 'vpn-gateway',
  protocol: 151,
  rulePriorities: [1500, 1599],
  chainPrefix: 'VG-',
  nftTables: [],
}

/** What the kernel of a gateway pod should hold. Pure. */
export function desired(system: System, tunnel: Tunnel, world: World): DesiredState {
  return {
    iptables: desiredFirewall(system, tunnel, world),
    ...desiredTunnel(system, tunnel, world),
    ...desiredRouting(system, tunnel, world),
  }
}
