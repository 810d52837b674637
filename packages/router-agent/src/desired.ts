import type { DesiredState, Owner } from '@vpn-gateway/kernel'
import { desiredFirewall, desiredOrphans, orphanTable } from './firewall.ts'
import type { Router } from './router.ts'
import { desiredRouting } from './routing.ts'
import type { World } from './world.ts'

/** How this agent's objects in the kernel are told from everybody else's. */
export const owner: Owner = {
  alias: 'vpn-gateway',
  protocol: 152,
  rulePriorities: [1600, 1699],
  chainPrefix: 'VG-',
  nftTables: [orphanTable],
}

/** What the kernel of a router pod should hold. Pure. VIP and virtual service are keepalived's, not the agent's. */
export function desired(router: Router, world: World): DesiredState {
  return {
    iptables: desiredFirewall(router, world),
    nft: [desiredOrphans(router, world)],
    ...desiredRouting(router, world),
  }
}
