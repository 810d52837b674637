import { addressPlan, type System } from '@vpn-gateway/config'
import type { DesiredState, RouteSpec, RuleSpec } from '@vpn-gateway/kernel'
import type { Tunnel } from './tunnel-file.ts'
import { tunnelLink } from './wireguard.ts'
import type { World } from './world.ts'

/** Table whose default is the tunnel; never the main one, so that the pod's own packets keep their way. */
const tunnelTable = 151
const mainTable = 254

/** Mark of replies to connections that came in through the tunnel; one bit, so that other bits stay free. */
export const ingressMark = { mark: 0x2, mask: 0x2 }

/** Behind any other route of the table: packets end here when the tunnel's link is down or gone. */
const lastResort = 4_000_000

/**
 * Which way packets go. A rule that finds no route lets the lookup go on to the main table (ip-rule(8)), and so to the
 * pod network: the unreachable default is what keeps clients off it while there is no tunnel.
 */
export function desiredRouting(
  system: System,
  tunnel: Tunnel,
  world: World,
): Required<Pick<DesiredState, 'routes' | 'rules' | 'sysctls'>> {
  return { routes: routes(system, world), rules: rules(tunnel, world), sysctls: sysctls(world) }
}

function routes(system: System, world: World): RouteSpec[] {
  const table = { family: 4, table: tunnelTable, dst: 'default' } as const
  return [
    { ...table, type: 'unreachable', nexthops: [], metric: lastResort },
    { ...table, type: 'unicast', nexthops: [{ dev: tunnelLink }] },
    ...returnRoutes(system, world),
  ]
}

/** Back to the clients through the active router, whose state table must see both directions; on-link without routers. */
function returnRoutes(system: System, world: World): RouteSpec[] {
  if (system.routerNetwork === undefined) return []
  const { vip, returnRoutes: destinations } = addressPlan(system)
  return destinations.map((dst) => ({
    family: 4,
    table: mainTable,
    type: 'unicast',
    dst,
    nexthops: [{ via: vip, dev: world.interface }],
  }))
}

function rules(tunnel: Tunnel, world: World): RuleSpec[] {
  const rule = { family: 4, table: tunnelTable } as const
  return [
    // Probes are bound to the tunnel's address; so are answers of this host to what came in through it.
    ...tunnel.addresses4.map((address, index) => ({ ...rule, priority: 1500 + index, from: `${address}/32` })),
    { ...rule, priority: 1530, fwmark: ingressMark },
    { ...rule, priority: 1540, iif: world.interface },
  ]
}

function sysctls(world: World): Record<string, string> {
  const conf = 'net/ipv4/conf'
  return {
    // The kernel takes the higher of all and the interface. Packets from the whole internet come in by wg0 while the main
    // table would send to them by the pod network; that they belong to the tunnel, WireGuard's allowed IPs have checked.
    [`${conf}/all/rp_filter`]: '0',
    [`${conf}/${tunnelLink}/rp_filter`]: '0',
    [`${conf}/${world.interface}/rp_filter`]: '1',
    // Client and VIP are on one network: without this the gateway tells clients to skip the router (ICMP redirect).
    [`${conf}/all/send_redirects`]: '0',
    [`${conf}/${world.interface}/send_redirects`]: '0',
    [`${conf}/${world.interface}/accept_redirects`]: '0',
    ...(world.ipv6 ? { 'net/ipv6/conf/all/forwarding': '0' } : {}),
    'net/ipv4/ip_forward': '1',
  }
}
