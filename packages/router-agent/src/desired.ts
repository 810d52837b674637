import type { DesiredState, Owner } from '@vpn-gateway/kernel'
import { desiredFirewall, desiredOrphans, orphanTable } from './firewall.ts'
import type { Router } from './router.ts'
import { desiredRouting } from './routing.ts'
import type { World } from './world.ts'

/**
 * How this agent's objects in the kernel are told from everybody else's. The attachment has the pod send everything but the
 * intranet to the virtual address: until the filters stand, what somebody sends to this router goes to the active one, and
 * not out by the pod network, although a pod forwards as its node does.
 */
export function ownerOf({ plan, link }: Pick<Router, 'plan' | 'link'>): Owner {
  return {
    alias: 'vpn-gateway',
    protocol: 152,
    rulePriorities: [1600, 1699],
    chainPrefix: 'VG-',
    nftTables: [orphanTable],
    untilFiltered: { via: plan.vip, dev: link },
  }
}

/** What the kernel of a router pod should hold. Pure. VIP and virtual service are keepalived's, not the agent's. */
export function desired(router: Router, world: World): DesiredState {
  return {
    iptables: desiredFirewall(router, world),
    nft: [desiredOrphans(router, world)],
    ...desiredRouting(router, world),
  }
}
