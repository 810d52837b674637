/** What counts as a leak, as BPF filters (pcap-filter(7)) that the kernel applies before anything is copied. */
import {
  clusterGateway,
  controlAddress,
  endpointPort,
  internetAddress,
  probeAddresses,
  serviceAddress,
} from '../topology/addresses.ts'
import type { Topology } from '../topology/topology.ts'

// Neighbour discovery, router solicitation and multicast listener reports never leave the link. `icmp6` alone does not
// match a listener report: its ICMPv6 header stands behind a hop-by-hop header.
const linkLocalIpv6 = '(ip6 and (dst net ff02::/16 or dst net fe80::/10) and (icmp6 or (ip6[6] = 0 and ip6[40] = 58)))'

const any = (terms: readonly string[]): string => `(${terms.join(' or ')})`

/**
 * Matches what a pod may not send on `eth0`: all but ARP, its neighbour discovery and, from the pod's own address, cluster
 * traffic and, by gateways, WireGuard to a provider. What has another source was forwarded. Cluster traffic is what goes to
 * somebody that there is: to another address of the intranet it would be a client's, behind the pod's address. No pod of the
 * lab asks a name server: endpoints are addresses. `inbound` because it is taken at the other end of the cable; the indexes
 * are those of links that are no pod's.
 */
export function podLeakFilter(topology: Topology, notPods: readonly number[]): string {
  const endpoints = any(
    topology.providers.flatMap(({ endpoint, otherEndpoint }) => [`dst host ${endpoint}`, `dst host ${otherEndpoint}`]),
  )
  const cluster = [...topology.pods.map(({ clusterAddress }) => clusterAddress), clusterGateway, serviceAddress]
  const own = ({ clusterPort, clusterAddress }: Topology['pods'][number]) =>
    `(ifindex ${clusterPort} and src host ${clusterAddress})`
  const allowed = [
    'arp',
    linkLocalIpv6,
    `(${any(topology.pods.map(own))} and ${any(cluster.map((address) => `dst host ${address}`))})`,
    `(${any(topology.pods.filter(({ kind }) => kind === 'gateway').map(own))} and ${any([
      `(udp and dst port ${endpointPort})`,
      // A pod that has no WireGuard yet refuses what the provider still sends to the one before; it quotes that packet only.
      'icmp[icmptype] = icmp-unreach',
    ])} and ${endpoints})`,
  ]
  return ['inbound', ...notPods.map((index) => `not ifindex ${index}`), `not ${any(allowed)}`].join(' and ')
}

/**
 * Matches what may not be on the underlay: all but VXLAN from node to node, in which clients' packets travel, ARP and
 * neighbour discovery. `ports` are the indexes of the switch's ports towards the nodes.
 */
export function underlayLeakFilter(topology: Topology, vxlanPort: number, ports: readonly number[]): string {
  const nodes = (end: 'src' | 'dst') => any(topology.nodes.map(({ address }) => `${end} host ${address}`))
  const between = `${nodes('src')} and ${nodes('dst')}`
  // A node whose VXLAN link is gone refuses what the other one sends; it quotes that packet only, to whom it came from.
  const refusal = `(icmp[icmptype] = icmp-unreach and ${between})`
  const vxlan = `(udp dst port ${vxlanPort} and ${between})`
  const allowed = ['arp', linkLocalIpv6, refusal, vxlan]
  return `inbound and ${any(ports.map((port) => `ifindex ${port}`))} and not ${any(allowed)}`
}

/**
 * Matches what may not arrive at the Internet host: any IP packet that does not come from an exit. Not `inbound`, which
 * the host's own addresses make needless: libpcap 1.10 runs the filter of the first packet itself, and there `inbound`
 * matches nothing on Ethernet (it does in the cooked form of `-i any`), so that the first leak would be missed.
 */
export function internetLeakFilter(topology: Topology): string {
  const sources = [
    ...topology.providers.map(({ exit }) => exit),
    ...topology.pods.map(({ directAddress }) => directAddress),
    internetAddress,
    controlAddress,
    ...probeAddresses,
  ]
  const allowed = [linkLocalIpv6, ...sources.map((source) => `src host ${source}`)]
  return `(ip or ip6) and not ${any(allowed)}`
}
