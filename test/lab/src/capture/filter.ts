/** What counts as a leak, as BPF filters (pcap-filter(7)) that the kernel applies before anything is copied. */
import { controlAddress, endpointPort, internetAddress, probeAddresses } from '../topology/addresses.ts'
import type { Topology } from '../topology/topology.ts'

// Neighbour discovery, router solicitation and multicast listener reports never leave the link. `icmp6` alone does not
// match a listener report: its ICMPv6 header stands behind a hop-by-hop header.
const linkLocalIpv6 = '(ip6 and (dst net ff02::/16 or dst net fe80::/10) and (icmp6 or (ip6[6] = 0 and ip6[40] = 58)))'

/**
 * Matches what a pod may not send on `eth0`: all but ARP, its neighbour discovery, cluster traffic (with it the cluster's
 * DNS) and WireGuard to a provider. No pod of the lab asks a name server outside: endpoints are addresses. `inbound` because it is taken at the other end of the cable; the indexes are those of links that are
 * no pod's.
 */
export function podLeakFilter(topology: Topology, notPods: readonly number[]): string {
  const endpoints = topology.providers.map(({ endpoint }) => `dst host ${endpoint}`).join(' or ')
  const allowed = [
    'arp',
    linkLocalIpv6,
    'dst net 10.0.0.0/8',
    `(udp and dst port ${endpointPort} and (${endpoints}))`,
    // A pod that has no WireGuard yet refuses what the provider still sends to the one before; it quotes that packet only.
    `(icmp[icmptype] = icmp-unreach and (${endpoints}))`,
  ]
  return ['inbound', ...notPods.map((index) => `not ifindex ${index}`), `not (${allowed.join(' or ')})`].join(' and ')
}

/**
 * Matches what may not arrive at the Internet host: any IP packet that does not come from an exit. Not `inbound`, which
 * the host's own addresses make needless: libpcap 1.10 runs the filter of the first packet itself, and there `inbound`
 * matches nothing on Ethernet (it does in the cooked form of `-i any`), so that the first leak would be missed.
 */
export function internetLeakFilter(topology: Topology): string {
  const sources = [...topology.providers.map(({ exit }) => exit), internetAddress, controlAddress, ...probeAddresses]
  const allowed = [linkLocalIpv6, ...sources.map((source) => `src host ${source}`)]
  return `(ip or ip6) and not (${allowed.join(' or ')})`
}
