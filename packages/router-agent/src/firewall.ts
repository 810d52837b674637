/**
 * What may pass, in the words that iptables-save(8) and nft(8) print, because that is what they are compared with. Each
 * table is replaced in one transaction; the policy of the forward chain holds when all else is flushed.
 *
 * A client's TCP and UDP never reach the forward chain: marked, they are routed to this host, pass INPUT, and IPVS takes
 * them from there and sends them out through OUTPUT. Their replies are forwarded.
 */
import { rangeText, refusedDestinations } from '@vpn-gateway/config'
import type { IptablesSpec, NftTable } from '@vpn-gateway/kernel'
import { destinationMask, flowServices, hasSticky, stickyMark, type FlowService } from './flow-services.ts'
import { conntrackSync, flowMark, gatewayPort, ipvsSync, routerPort, type Router } from './router.ts'
import type { World } from './world.ts'

const refuse = '-j REJECT --reject-with icmp-admin-prohibited'
const hex = (mark: number) => `0x${mark.toString(16)}`
const mark = hex(flowMark)

/** How a rule matches the mark of a flow: that of ordinary ones, and all of the sticky ones if there are any. */
function markMatches(router: Router): string[] {
  const sticky = `-m mark --mark ${hex(stickyMark.mark)}/${hex(stickyMark.mask)}`
  return [`-m mark --mark ${mark}`, ...(hasSticky(router) ? [sticky] : [])]
}

/** All iptables tables, the filters first: nothing else is set where they could not be. */
export function desiredFirewall(router: Router, world: World): IptablesSpec[] {
  return [filter4(router), ...(world.ipv6 ? [filter6(router)] : []), mangle(router), raw(router)]
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
        '-m conntrack --ctstate INVALID,UNTRACKED -j DROP',
        `-i ${link} -o ${link} -m iprange --src-range ${rangeText(system.gatewayNetwork.clients)} -j VG-CLIENTS`,
      ],
      'VG-CLIENTS': [
        ...refusedDestinations(system).map((cidr) => `-d ${cidr} ${refuse}`),
        // Without its mark a flow would be balanced packet by packet rather than by IPVS.
        `-p tcp ${refuse}`,
        `-p udp ${refuse}`,
        '-j ACCEPT',
      ],
      'VG-OUTPUT': outputRules(router),
    },
    jumps: { INPUT: 'VG-INPUT', FORWARD: 'VG-FORWARD', OUTPUT: 'VG-OUTPUT' },
  }
}

/**
 * By the pod network a router answers who asked by it, kubelet from outside of the intranet too, and speaks to nobody else. A
 * client may choose the source of what it sends; ICMP errors about it and answers to it would follow that source to there,
 * and quote the client.
 */
function outputRules(router: Router): string[] {
  const { system, link, syncLink } = router
  return [
    // Without the link IPVS would look a gateway up in the main table and use the pod network.
    ...markMatches(router).map((match) => `! -o ${link} ${match} -j DROP`),
    ...['lo', link, syncLink].map((own) => `-o ${own} -j ACCEPT`),
    ...system.intranet.map((cidr) => `-d ${cidr} -j ACCEPT`),
    '-m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT',
    `-p tcp -m tcp --sport ${routerPort} -m conntrack --ctstate UNTRACKED -j ACCEPT`,
    refuse,
  ]
}

/** What answers to health checks are; a client that sends such is no connection's other end. */
const healthAnswers = [
  '-p icmp -m icmp --icmp-type 0',
  `-p tcp -m tcp --sport ${gatewayPort} ! --tcp-flags FIN,SYN,RST,ACK SYN`,
]

/** Client flows on their way to IPVS, answers to health checks, other routers' questions, ping. */
function gatewayNetworkInput(router: Router): string[] {
  const { link, system, plan } = router
  const routers = rangeText(system.gatewayNetwork.routers)
  return [
    ...markMatches(router).map((match) => `-i ${link} ${match} -j ACCEPT`),
    `-i ${link} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    ...plan.healthCidrs.flatMap((from) => healthAnswers.map((match) => `-s ${from} -i ${link} ${match} -j ACCEPT`)),
    // Routers ask each other how they stand.
    `-i ${link} -p tcp -m iprange --src-range ${routers} -m tcp --dport ${routerPort} -j ACCEPT`,
    `-i ${link} -p icmp -m icmp --icmp-type 8 -j ACCEPT`,
    `-i ${link} ${refuse}`,
  ]
}

/**
 * Adverts and state of the other routers, by multicast group. VRRP and IGMP go by their groups rather than by protocol:
 * how iptables-save prints those depends on whether the image has /etc/protocols.
 */
function routerNetworkInput(router: Router): string[] {
  const { syncLink, syncSubnet } = router
  const from = `-s ${syncSubnet}`
  const sync = ({ group, port }: { group: string; port: number }) =>
    `${from} -d ${group}/32 -i ${syncLink} -p udp -m udp --dport ${port} -j ACCEPT`
  return [
    advertsRule(router),
    sync(ipvsSync),
    sync(conntrackSync),
    `-d 224.0.0.1/32 -i ${syncLink} -j ACCEPT`,
    `${from} -i ${syncLink} -p tcp -m tcp --dport ${routerPort} -j ACCEPT`,
    `-i ${syncLink} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `${from} -i ${syncLink} -p icmp -m icmp --icmp-type 8 -j ACCEPT`,
    `-i ${syncLink} -j DROP`,
  ]
}

/** The rule that lets VRRP's adverts in; its counter tells whether they come. */
export function advertsRule({ syncLink, syncSubnet }: Pick<Router, 'syncLink' | 'syncSubnet'>): string {
  return `-s ${syncSubnet} -d 224.0.0.18/32 -i ${syncLink} -j ACCEPT`
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
function mangle(router: Router): IptablesSpec {
  const { system, plan, link } = router
  const clients = `-m iprange --src-range ${rangeText(system.gatewayNetwork.clients)}`
  const flow = (protocol: string, state = '') =>
    `! -d ${plan.onLink} -i ${link} -p ${protocol} ${clients} ${state}-j MARK --set-xmark ${mark}/0xffffffff`
  return {
    family: 4,
    table: 'mangle',
    policies: {},
    chains: {
      'VG-PREROUTING': [
        // From the internet come replies only. What begins with another source than one of this network is not answered,
        // not even by an error: the kernel sends those before any filter of what it forwards, to wherever the source is.
        `! -s ${plan.onLink} -i ${link} -m conntrack --ctstate INVALID,NEW -j DROP`,
        flow('tcp'),
        flow('udp'),
        flow('icmp', '-m conntrack --ctstate RELATED '),
        ...flowServices(router).flatMap((service) => stickyMarking(service, link)),
      ],
      ...destinationChains(router),
    },
    jumps: { PREROUTING: 'VG-PREROUTING' },
  }
}

/**
 * What must pass when clients have filled the table of connections, which drops all that is new: checks of gateways, kubelet's
 * questions, adverts and the state that routers tell each other. None of it needs to be tracked.
 */
function raw({ system, plan, link, syncLink }: Router): IptablesSpec {
  const { subnet } = system.gatewayNetwork
  const untracked = '-j CT --notrack'
  return {
    family: 4,
    table: 'raw',
    policies: {},
    chains: {
      'VG-PREROUTING': [
        `! -i ${link} -p tcp -m tcp --dport ${routerPort} ${untracked}`,
        `-d 224.0.0.0/4 -i ${syncLink} ${untracked}`,
        ...plan.healthCidrs.flatMap((from) =>
          healthAnswers.map((match) => `-s ${from} -d ${subnet} -i ${link} ${match} ${untracked}`),
        ),
      ],
      'VG-OUTPUT': [
        `! -o ${link} -p tcp -m tcp --sport ${routerPort} ${untracked}`,
        `-d 224.0.0.0/4 -o ${syncLink} ${untracked}`,
        ...plan.healthCidrs.map((to) => `-d ${to} -o ${link} ${untracked}`),
      ],
    },
    jumps: { PREROUTING: 'VG-PREROUTING', OUTPUT: 'VG-OUTPUT' },
  }
}

const setMark = (to: number) => `-j MARK --set-xmark ${hex(to)}/0xffffffff`
const destinationChain = (name: string) => `VG-${name.toUpperCase()}`

/** Gives what is marked already, and comes from the service's clients, the mark of that service. */
function stickyMarking({ name, marks, sticky }: FlowService, link: string): string[] {
  if (sticky === undefined) return []
  const [first = flowMark] = marks
  const target = marks.length === 1 ? setMark(first) : `-j ${destinationChain(name)}`
  return [`-i ${link} -m mark --mark ${mark} -m iprange --src-range ${rangeText(sticky.clients)} ${target}`]
}

/** Chains that choose a mark by the last bits of the destination, whose mask need not be a prefix. */
function destinationChains(router: Router): Record<string, string[]> {
  return Object.fromEntries(
    flowServices(router)
      .filter(({ marks }) => marks.length > 1)
      .map(({ name, marks }) => [
        destinationChain(name),
        marks.map((each, bits) => `-d 0.0.0.${bits}/0.0.0.${destinationMask} ${setMark(each)}`),
      ]),
  )
}

/** Name of the nftables table of what is left behind IPVS. */
export const orphanTable = 'vpn_gateway_orphans'

/**
 * IPVS hooks the input chain at 98 and 99. What is still there at 150 belongs to no flow and starts none. iptables' own
 * filter table is at 0 and would see everything.
 *
 * Packets on their way to IPVS count as local, so that the kernel would send an ICMP error about one from the address on
 * the Internet that it was sent to, and does not, that being no address of its own (icmp_send, ip_route_output_key): a TCP
 * reset arrives, UDP hears nothing. Without any live gateway IPVS drops for the same reason what nobody hears of: then
 * all is refused before it is routed, just after its mark, where errors come from this router's own address.
 */
export function desiredOrphans(router: Router, { orphans, inService }: World): NftTable {
  const long = (value: number) => `0x${value.toString(16).padStart(8, '0')}`
  const { mark: first, mask } = stickyMark
  const marks = [long(flowMark), ...(hasSticky(router) ? [`${long(first)}-${long(first + (0xffffffff - mask))}`] : [])]
  const each = (verdict: string) => marks.map((marked) => `\t\tiifname "${router.link}" meta mark ${marked} ${verdict}`)
  const reset = each('meta l4proto tcp counter reject with tcp reset')
  const verdicts = orphans === 'reset' ? [...reset, ...each('counter drop')] : each('counter drop')
  return {
    family: 'ip',
    name: orphanTable,
    body: [
      ...(orphans === 'reset' && inService === 0
        ? [
            '\tchain early {',
            '\t\ttype filter hook prerouting priority -130; policy accept;',
            ...reset,
            // Of the codes there are, host-unreachable would not be reported to a connected UDP socket (icmp_err_convert).
            ...each('counter reject with icmp admin-prohibited'),
            '\t}',
            '',
          ]
        : []),
      '\tchain late {',
      '\t\ttype filter hook input priority 150; policy accept;',
      ...verdicts,
      '\t}',
    ].join('\n'),
  }
}
