/** A router made of routes alone, in the pod of one of the lab's routers whose agent has ended. */
import type { Lab } from '@vpn-gateway/lab'
import type { Way } from './result.ts'

/** A gateway that packets are sent to. */
interface NextHop {
  address: string
  /** Of new flows, in proportion to the other hops'. */
  weight: number
}

/** A router whose next hops are taken out and put back by whoever watches the gateways. */
export interface EcmpRouter {
  /** Makes these gateways the next hops. */
  use(hops: readonly NextHop[]): Promise<void>
}

/** Table of the product's router for what IPVS does not carry; its rule for packets from the gateway network is still there. */
const table = '153'
/** Nexthop ids; the group's is beyond those of its members. */
const group = 100
/** More than there are flows, so that some are idle and a gateway that returns is given new flows. */
const buckets = 2048
/** Seconds that a bucket must have been idle before it may move; flows here are never idle for long. */
const idleTimer = 120

/** Turns the router's pod into one that routes by hash. All else of the lab stays as it is. */
export async function openEcmpRouter(lab: Lab, router: string, way: Exclude<Way, 'vpn-gateway'>): Promise<EcmpRouter> {
  const { vip } = lab.state
  const run = (host: string, script: string) => lab.exec(host, ['bash', '-ec', script])
  await run(
    router,
    `for t in filter mangle raw; do iptables -t $t -F; done; iptables -P FORWARD ACCEPT
     nft delete table ip vpn_gateway_orphans 2>/dev/null || true
     for priority in 1600 1615; do while ip rule del priority $priority 2>/dev/null; do :; done; done
     sysctl -qw net.ipv4.fib_multipath_hash_policy=1 net.ipv4.ip_forward=1
     ip address replace ${vip}/24 dev net1`,
  )
  // Nobody may go on sending to the MAC of a router that has ended.
  for (const { name, kind } of lab.topology.pods) if (kind !== 'router') await run(name, 'ip neigh flush dev net1')

  const ids = new Map<string, number>()
  const idOf = (gateway: string) => {
    const id = ids.get(gateway) ?? ids.size + 1
    ids.set(gateway, id)
    return id
  }
  return {
    async use(hops) {
      if (way === 'ecmp') {
        const list = hops.map(({ address, weight }) => `nexthop via ${address} dev net1 weight ${weight}`).join(' ')
        await run(router, `ip route replace default table ${table} ${list}`)
        return
      }
      const members = hops.map(({ address }) => `ip nexthop replace id ${idOf(address)} via ${address} dev net1`)
      const list = hops.map(({ address, weight }) => `${idOf(address)},${weight}`).join('/')
      const kind = `type resilient buckets ${buckets} idle_timer ${idleTimer} unbalanced_timer 0`
      await run(
        router,
        [
          ...members,
          `ip nexthop replace id ${group} group ${list} ${kind}`,
          `ip route replace default table ${table} nhid ${group}`,
        ].join('\n'),
      )
    },
  }
}
