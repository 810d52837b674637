/**
 * What may pass, in the words that iptables-save(8) and nft(8) print, because that is what they are compared with. Each
 * table is replaced in one transaction; the policy of the forward chain holds when all else is flushed.
 *
 * A client's TCP and UDP never reach the forward chain: marked, they are routed to this host, pass INPUT, and IPVS takes
 * them from there and sends them out through OUTPUT. Their replies are forwarded.
 */
import { rangeText, refusedDestinations } from '@vpn-gateway/config'
import type { IptablesSpec, NftTable } from '@vpn-gateway/kernel'
import { conntrackSync, flowMark, ipvsSync, type Router } from './router.ts'
import type { World } from './world.ts'

const refuse = '-j REJECT --reject-with icmp-admin-prohibited'
const mark = `0x${flowMark.toString(16)}`

/** All iptables tables, the filters first: nothing else is set where they could not be. */
export function desiredFirewall(router: Router, world: World): IptablesSpec[] {
  return [filter4(router), ...(world.ipv6 ? [filter6(router)] : []), mangle(router)]
}

function filter4(router: Router): IptablesSpec {
  const { system, link } = router
  return {
    family: 4,
    table: 'filter',
    policies: { FORWARD: 'DROP' },
    chains: {
      'VG-INPUT': [...gatewayNetworkInput(router), ...routerNetworkInput(router)],
      'VG-FORWARD': [
        `-i ${link} -o ${link} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
        // With nf_conntrack_tcp_loose=0 this is also TCP that goes on without this router having seen its beginning.
        '-m conntrack --ctstate INVALID -j DROP',
        `-i ${link} -o ${link} -m iprange --src-range ${rangeText(system.gatewayNetwork.clients)} -j VG-CLIENTS`,
      ],
      'VG-CLIENTS': [
        ...refusedDestinations(system).map((cidr) => `-d ${cidr} ${refuse}`),
        // Without its mark a flow would be balanced packet by packet rather than by IPVS.
        `-p tcp ${refuse}`,
        `-p udp ${refuse}`,
        '-j ACCEPT',
      ],
      // Without the link IPVS would look a gateway up in the main table and use the pod network.
      'VG-OUTPUT': [`! -o ${link} -m mark --mark ${mark} -j DROP`],
    },
    jumps: { INPUT: 'VG-INPUT', FORWARD: 'VG-FORWARD', OUTPUT: 'VG-OUTPUT' },
  }
}

/** Client flows on their way to IPVS, answers to health checks, ping. */
function gatewayNetworkInput({ link }: Router): string[] {
  return [
    `-i ${link} -m mark --mark ${mark} -j ACCEPT`,
    `-i ${link} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `-i ${link} -p icmp -m icmp --icmp-type 8 -j ACCEPT`,
    `-i ${link} ${refuse}`,
  ]
}

/**
 * Adverts and state of the other routers, by multicast group. VRRP and IGMP go by their groups rather than by protocol:
 * how iptables-save prints those depends on whether the image has /etc/protocols.
 */
function routerNetworkInput({ syncLink, syncSubnet }: Router): string[] {
  const from = `-s ${syncSubnet}`
  const sync = ({ group, port }: { group: string; port: number }) =>
    `${from} -d ${group}/32 -i ${syncLink} -p udp -m udp --dport ${port} -j ACCEPT`
  return [
    `${from} -d 224.0.0.18/32 -i ${syncLink} -j ACCEPT`,
    sync(ipvsSync),
    sync(conntrackSync),
    `-d 224.0.0.1/32 -i ${syncLink} -j ACCEPT`,
    `${from} -i ${syncLink} -p icmp -m icmp --icmp-type 8 -j ACCEPT`,
    `-i ${syncLink} -j DROP`,
  ]
}

/** Neither network carries IPv6: what somebody sends nevertheless goes nowhere. */
function filter6({ link, syncLink }: Router): IptablesSpec {
  return {
    family: 6,
    table: 'filter',
    policies: { FORWARD: 'DROP' },
    chains: { 'VG-INPUT': [link, syncLink].map((each) => `-i ${each} -j DROP`), 'VG-FORWARD': ['-j DROP'] },
    jumps: { INPUT: 'VG-INPUT', FORWARD: 'VG-FORWARD' },
  }
}

/** Marks what IPVS carries: TCP, UDP, and ICMP errors about such flows, which IPVS finds by the packet inside them. */
function mangle({ system, plan, link }: Router): IptablesSpec {
  const clients = `-m iprange --src-range ${rangeText(system.gatewayNetwork.clients)}`
  const flow = (protocol: string, state = '') =>
    `! -d ${plan.onLink} -i ${link} -p ${protocol} ${clients} ${state}-j MARK --set-xmark ${mark}/0xffffffff`
  return {
    family: 4,
    table: 'mangle',
    policies: {},
    chains: {
      'VG-PREROUTING': [flow('tcp'), flow('udp'), flow('icmp', '-m conntrack --ctstate RELATED ')],
    },
    jumps: { PREROUTING: 'VG-PREROUTING' },
  }
}

/** Name of the nftables table of what is left behind IPVS. */
export const orphanTable = 'vpn_gateway_orphans'

/**
 * IPVS hooks the input chain at 98 and 99. What is still there at 150 belongs to no flow and starts none, or has no live
 * gateway. iptables' own filter table is at 0 and would see everything.
 */
export function desiredOrphans({ link }: Router, { orphans }: World): NftTable {
  const orphan = `\t\tiifname "${link}" meta mark 0x0000000${flowMark}`
  const verdicts =
    orphans === 'reset'
      ? [
          `${orphan} meta l4proto tcp counter reject with tcp reset`,
          `${orphan} counter reject with icmp admin-prohibited`,
        ]
      : [`${orphan} counter drop`]
  return {
    family: 'ip',
    name: orphanTable,
    body: ['\tchain late {', '\t\ttype filter hook input priority 150; policy accept;', ...verdicts, '\t}'].join('\n'),
  }
}
