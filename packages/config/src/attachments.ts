/**
 * Network attachments: how Multus plugs pods into the networks. Made from the system file, so that addresses, routes and
 * MTUs stand in one place only.
 */
import { addressPlan } from './address-plan.ts'
import { addressAfter, cidrBounds, parseRange, rangeSize } from './address.ts'
import type { System } from './schema.ts'

/** Attachments by what attaches to them. */
export type AttachmentName = 'client' | 'gateway' | 'router' | 'router-sync'

/** NetworkAttachmentDefinition of the Network Plumbing Working Group, version 1. */
export interface NetworkAttachment {
  apiVersion: 'k8s.cni.cncf.io/v1'
  kind: 'NetworkAttachmentDefinition'
  metadata: { name: AttachmentName; namespace: string; annotations: Record<string, string> }
  /** A CNI network configuration list as JSON. */
  spec: { config: string }
}

/** IPAM by whereabouts: cluster-wide leases, the lowest free address first. */
interface WhereaboutsIpam {
  type: 'whereabouts'
  range: string
  range_start: string
  range_end: string
  routes?: { dst: string; gw: string }[]
}

interface BridgePlugin {
  type: 'bridge'
  bridge: string
  mtu: number
  /** The bridge is layer 2 only: no address on the node, nothing masqueraded. */
  isGateway: false
  ipMasq: false
  ipam: WhereaboutsIpam
}

interface TuningPlugin {
  type: 'tuning'
  /** Keys below /proc/sys/net; the literal IFNAME stands for the interface. */
  sysctl: Record<string, string>
}

interface Parts {
  name: AttachmentName
  description: string
  bridge: BridgePlugin
  tuning: TuningPlugin
}

/** Namespace of the attachments and of the pods; pods elsewhere refer to attachments as `vpn-gateway/client`. */
export const namespace = 'vpn-gateway'

/** The networks carry IPv4 only: an interface without IPv6 cannot pick up a route from anyone's advertisement. */
const noIpv6 = { 'net.ipv6.conf.IFNAME.disable_ipv6': '1' }

/**
 * A pod's /proc/sys is read-only, so what the agents need there is set here. Forwarding is not: the agents switch it on
 * themselves, after their filters, where they can; elsewhere a pod has it from its node, because a new namespace starts
 * with the IPv4 settings of the first one (net.core.devconf_inherit_init_net). Before its agent has run, such a pod would
 * send what comes in by one interface out by the other: what a client sends by a route of its own, or a router to a
 * gateway that was there before. So gateways and routers are given routes by the VIP, which lead to the active router, or
 * nowhere while there is none; their agents take them away.
 */
const forwarder = {
  // The kernel takes the higher of `all` and the interface (ip-sysctl).
  'net.ipv4.conf.all.rp_filter': '0',
  // Redirects are sent when either is 1; clients must not be told to skip the router.
  'net.ipv4.conf.all.send_redirects': '0',
  'net.ipv4.conf.IFNAME.send_redirects': '0',
  'net.ipv4.conf.IFNAME.accept_redirects': '0',
}

const gateway = {
  // The tunnel's link is made later and starts with `default`. The whole internet comes in by it, which the main table
  // would reach by the pod network.
  'net.ipv4.conf.default.rp_filter': '0',
  'net.ipv4.conf.IFNAME.rp_filter': '1',
}

/** IPVS and connection tracking as the routers need them (ipvs-sysctl, nf_conntrack-sysctl in the kernel's documentation). */
const router = {
  'net.ipv4.conf.IFNAME.rp_filter': '0',
  'net.ipv4.vs.conntrack': '1',
  'net.ipv4.vs.sloppy_tcp': '0',
  'net.ipv4.vs.expire_nodest_conn': '1',
  'net.ipv4.vs.expire_quiescent_template': '1',
  'net.ipv4.vs.sync_threshold': '0 0',
  'net.ipv4.vs.sync_refresh_period': '10',
  'net.ipv4.vs.sync_retries': '2',
  'net.ipv4.vs.backup_only': '0',
  'net.netfilter.nf_conntrack_tcp_loose': '1',
  // A router that takes over has not seen the last of a flow's sequence numbers.
  'net.netfilter.nf_conntrack_tcp_be_liberal': '1',
}

/** All attachments of a system: the routers' only where it has a router network. */
export function networkAttachments(system: System): NetworkAttachment[] {
  const { gatewayNetwork, routerNetwork } = system
  const { clientRoutes, vip, gatewayAddresses } = addressPlan(system)
  // Without routers the clients' way out is the gateway itself.
  const via = routerNetwork === undefined ? (gatewayAddresses[0] ?? vip) : vip
  const onGatewayNetwork = (range: string, routes: WhereaboutsIpam['routes']) => bridge(gatewayNetwork, range, routes)
  const everywhere = (gw: string) => clientRoutes.map((dst) => ({ dst, gw }))
  const parts: Parts[] = [
    {
      name: 'client',
      description:
        'Pods that reach the internet through the tunnels: everything but the intranet goes to the virtual address.',
      bridge: onGatewayNetwork(gatewayNetwork.clients, everywhere(via)),
      tuning: { type: 'tuning', sysctl: { ...noIpv6, 'net.ipv4.conf.IFNAME.accept_redirects': '0' } },
    },
    {
      name: 'gateway',
      description: 'Gateway pods, one tunnel each.',
      bridge: onGatewayNetwork(gatewayNetwork.gateways, everywhere(vip)),
      tuning: { type: 'tuning', sysctl: { ...noIpv6, ...forwarder, ...gateway } },
    },
  ]
  if (routerNetwork !== undefined) {
    parts.push(
      {
        name: 'router',
        description: 'Router pods, on the network of clients and gateways.',
        bridge: onGatewayNetwork(gatewayNetwork.routers, everywhere(vip)),
        tuning: { type: 'tuning', sysctl: { ...noIpv6, ...forwarder, ...router } },
      },
      {
        name: 'router-sync',
        description: 'Router pods among themselves: VRRP, IPVS sync, conntrackd.',
        bridge: bridge(routerNetwork, hostsOf(routerNetwork.subnet, gatewayNetwork.routers)),
        tuning: { type: 'tuning', sysctl: { ...noIpv6, 'net.ipv4.conf.IFNAME.rp_filter': '1' } },
      },
    )
  }
  return parts.map(attachment)
}

function bridge(
  network: { subnet: string; bridge: string; mtu: number },
  range: string,
  routes?: WhereaboutsIpam['routes'],
): BridgePlugin {
  const { first, last } = parseRange(range)
  return {
    type: 'bridge',
    bridge: network.bridge,
    mtu: network.mtu,
    isGateway: false,
    ipMasq: false,
    ipam: {
      type: 'whereabouts',
      range: network.subnet,
      range_start: first,
      range_end: last,
      ...(routes === undefined ? {} : { routes }),
    },
  }
}

/** As many addresses of the router network as there can be routers, from its first host on. */
function hostsOf(subnet: string, routers: string): string {
  const { first: network } = cidrBounds(subnet)
  return `${addressAfter(network, 1)}-${addressAfter(network, rangeSize(parseRange(routers)))}`
}

function attachment({ name, description, bridge: plugin, tuning }: Parts): NetworkAttachment {
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: { name, namespace, annotations: { 'kubernetes.io/description': description } },
    spec: {
      config: `${JSON.stringify({ cniVersion: '0.4.0', name: `vpn-gateway-${name}`, plugins: [plugin, tuning] }, null, 2)}\n`,
    },
  }
}
