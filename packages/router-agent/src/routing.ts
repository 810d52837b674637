import type { DesiredState, Nexthop, RouteSpec, RuleSpec } from '@vpn-gateway/kernel'
import { hasSticky, stickyMark } from './flow-services.ts'
import { flowMark, type Router } from './router.ts'
import type { World } from './world.ts'

/** Marked packets: to this host, where IPVS hooks. */
const ipvsTable = 152
/** Everything else that comes in from the gateway network: to a live gateway or nowhere. */
const gatewayTable = 153
/** Nowhere. */
const lostMarkTable = 154
const mainTable = 254

/** Which way packets go, and the kernel parameters that it depends on. */
export function desiredRouting(
  router: Router,
  world: World,
): Required<Pick<DesiredState, 'routes' | 'rules' | 'sysctls'>> {
  return { routes: routes(router, world), rules: rules(router), sysctls: sysctls(router) }
}

function routes({ link, plan }: Router, { live }: World): RouteSpec[] {
  const toGateways: RouteSpec = { family: 4, table: gatewayTable, dst: 'default', type: 'unicast', nexthops: [] }
  return [
    { family: 4, table: ipvsTable, type: 'local', dst: 'default', nexthops: [{ dev: 'lo' }] },
    ...plan.healthCidrs.map((dst): RouteSpec => ({
      family: 4,
      table: mainTable,
      type: 'unicast',
      dst,
      nexthops: [{ dev: link }],
    })),
    { family: 4, table: lostMarkTable, type: 'blackhole', dst: 'default', nexthops: [] },
    // A table without a route would let the lookup go on to the main one, and so to the pod network.
    live.size === 0 ? { ...toGateways, type: 'unreachable' } : { ...toGateways, nexthops: nexthops(live, link) },
  ]
}

/** rtnetlink(7) holds a next hop's weight in eight bits, IPVS one of 65,535. */
const greatestWeight = 256
/**
 * Next hops of one route, which are enough for what IPVS does not carry. A line of `ip -batch` may have 512 words, seven for
 * each (MAX_ARGS), and the kernel shows no route that fills a page of a dump, some 230 of them: nobody could verify it.
 */
const mostNexthops = 64

function nexthops(live: World['live'], dev: string): Nexthop[] {
  const chosen = [...live].slice(0, mostNexthops)
  const greatest = Math.max(...chosen.map(([, weight]) => weight))
  const scale = greatest > greatestWeight ? greatestWeight / greatest : 1
  return chosen.map(([via, weight]) => ({ via, dev, weight: Math.max(1, Math.round(weight * scale)) }))
}

function rules(router: Router): RuleSpec[] {
  const { plan, link } = router
  const sticky: RuleSpec = { family: 4, priority: 1601, fwmark: stickyMark, table: ipvsTable }
  return [
    { family: 4, priority: 1600, fwmark: { mark: flowMark, mask: 0xffffffff }, table: ipvsTable },
    ...(hasSticky(router) ? [sticky] : []),
    // Replies, and what gateways themselves tell clients (ICMP errors).
    { family: 4, priority: 1610, to: plan.onLink, iif: link, table: mainTable },
    // While somebody else's flush has taken the marks away, and with them perhaps the filter, a flow's packets would go to
    // whichever gateway the route has for them: one that does not know the flow sends it out of its own exit, where it is
    // reset. Without an answer the flow waits until the marks are there again.
    ...['tcp', 'udp'].map((ipProtocol): RuleSpec => ({
      family: 4,
      priority: 1615,
      iif: link,
      ipProtocol,
      table: lostMarkTable,
    })),
    { family: 4, priority: 1620, iif: link, table: gatewayTable },
  ]
}

function sysctls({ link, syncLink }: Router): Record<string, string> {
  const conf = 'net/ipv4/conf'
  return {
    // IPVS leaves its packets untracked otherwise: conntrackd would know nothing of them, and no reply would pass.
    'net/ipv4/vs/conntrack': '1',
    // A TCP flow begins with a SYN. What goes on without one is an orphan.
    'net/ipv4/vs/sloppy_tcp': '0',
    // A removed gateway's connections go at once, so that their next packet is answered with a reset.
    'net/ipv4/vs/expire_nodest_conn': '1',
    // A sticky client's next flow leaves a gateway that drains; what it has open goes on.
    'net/ipv4/vs/expire_quiescent_template': '1',
    // Synced at the first packet in an established state, and again every ten seconds, so that it lasts on the standby.
    'net/ipv4/vs/sync_threshold': '0 0',
    'net/ipv4/vs/sync_refresh_period': '10',
    'net/ipv4/vs/sync_retries': '2',
    // Sender and receiver run both, on every router. With 1 a router that receives would carry no flow.
    'net/ipv4/vs/backup_only': '0',
    // A flow that IPVS knows and conntrack has lost is taken up again at the client's next packet; IPVS is strict about
    // who may begin one, and the forward chain about replies: a packet from outside makes no entry that would let it pass.
    'net/netfilter/nf_conntrack_tcp_loose': '1',
    // At a takeover a few packets of a flow pass the other router. Their sequence numbers are missed here, and a window
    // that went stale would make the rest of the flow INVALID. Gateways, which see all of it, do check windows.
    'net/netfilter/nf_conntrack_tcp_be_liberal': '1',
    // The kernel takes the higher of all and the interface. Replies come from anywhere on the internet by the gateway
    // network, while the main table would send there by the pod network.
    [`${conf}/all/rp_filter`]: '0',
    [`${conf}/${link}/rp_filter`]: '0',
    [`${conf}/${syncLink}/rp_filter`]: '1',
    // Clients and gateways are on one network: without this the kernel tells each to skip the router (ICMP redirect).
    [`${conf}/all/send_redirects`]: '0',
    [`${conf}/${link}/send_redirects`]: '0',
    [`${conf}/${link}/accept_redirects`]: '0',
    'net/ipv4/ip_forward': '1',
  }
}
