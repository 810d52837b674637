/**
 * What nodes do to such links beside what the agent sets: found, and named with what to do about it. A finding is no
 * reason not to be ready: frames may pass all the same. Pure.
 */
import { otherNodes } from './desired.ts'
import type { Peers } from './peers.ts'
import type { World } from './world.ts'

export const findingNames = [
  'link-manager',
  'reverse-path-filter',
  'bridge-firewall',
  'legacy-iptables',
  'connection-tracking',
  'checksum-offload',
  'peers',
] as const

export interface Finding {
  finding: (typeof findingNames)[number]
  /** One line: what it is and what to do. */
  text: string
}

/** What was read of the node; what could not be read is absent. */
export interface NodeFacts {
  /** Addresses on the agent's links, `vpn-gateway 169.254.7.9/16`; the agent sets none. */
  linkAddresses: readonly string[]
  /** Links that NetworkManager or systemd-networkd says it manages, as far as /run shows it. */
  managed: readonly { link: string; by: string }[]
  /** net.ipv4.conf: the larger of `all` and the underlay's (ip-sysctl); 1 is strict. */
  reversePathFilter?: number
  /** Device that the kernel routes to another node by. */
  routeToPeer?: { peer: string; device: string }
  /** Rules of iptables that judge the way back, outside of raw, where the agent's own come first. */
  rpfilterRules: readonly string[]
  /** Base chains of nftables at the forward hook whose policy is drop, `inet firewalld filter_FORWARD`. */
  droppingChains: readonly string[]
  bridgeNetfilter: boolean
  /** Rules of iptables-legacy stand beside those of nftables, which the agent works with. */
  legacyTables: boolean
  /** Features of the underlay device by ethtool(8); absent without that program. */
  offloads?: Readonly<Record<string, boolean>>
}

/** The feature by which a NIC cuts and sums what VXLAN carries. */
export const vxlanOffload = 'tx-udp_tnl-csum-segmentation'

/** Everything that is worth a word. */
export function findings(facts: NodeFacts, world: World): Finding[] {
  return [
    ...linkManager(facts),
    ...reversePath(facts, world),
    ...firewalls(facts),
    ...tracking(facts, world),
    ...offload(facts, world),
    ...ownPeer(world),
  ]
}

function linkManager({ linkAddresses, managed }: NodeFacts): Finding[] {
  const remedy =
    'keep NetworkManager (unmanaged-devices=interface-name:vpn-*) and systemd-networkd ([Link] Unmanaged=yes) off them'
  const found = [
    ...managed.map(({ link, by }) => `${by} manages ${link}`),
    ...linkAddresses.map((address) => `somebody gave a link of the networks an address, ${address}`),
  ]
  return found.map((what) => ({ finding: 'link-manager', text: `${what}: ${remedy}` }))
}

function reversePath({ reversePathFilter, routeToPeer, rpfilterRules }: NodeFacts, { underlay }: World): Finding[] {
  const found: Finding[] = rpfilterRules.map((rule) => ({
    finding: 'reverse-path-filter',
    text: `iptables: ${rule}: may drop frames of the networks: let what comes in by the bridges pass before it`,
  }))
  if (reversePathFilter === 1 && routeToPeer !== undefined && routeToPeer.device !== underlay.device) {
    found.push({
      finding: 'reverse-path-filter',
      text:
        `net.ipv4.conf.${underlay.device}.rp_filter is strict and ${routeToPeer.peer} is routed by ${routeToPeer.device}: ` +
        `what it sends to ${underlay.device} is dropped: set it to 2, or route the nodes by ${underlay.device}`,
    })
  }
  return found
}

function firewalls({ droppingChains, bridgeNetfilter, legacyTables }: NodeFacts): Finding[] {
  if (!bridgeNetfilter) return []
  const found: Finding[] = droppingChains.map((chain) => ({
    finding: 'bridge-firewall',
    text: `nftables chain ${chain} drops what it is not told of, also frames that only cross a bridge: accept iifname "vpn-*" there`,
  }))
  if (legacyTables) {
    found.push({
      finding: 'legacy-iptables',
      text: 'the node has rules of iptables-legacy, which are asked too and which the agent does not see: accept the bridges there',
    })
  }
  return found
}

/** What is tracked meets the node's nat rules, and a masqueraded answer finds nobody who asked. */
function tracking({ bridgeNetfilter }: NodeFacts, { notrack }: World): Finding[] {
  if (!bridgeNetfilter || notrack) return []
  const text =
    'kernel module xt_CT: not seen on this node, so that it tracks what only crosses its bridges, and its nat rules may change it: ' +
    'load it before the agent starts, or keep nat rules off what comes in by the bridges'
  return [{ finding: 'connection-tracking', text }]
}

function offload({ offloads }: NodeFacts, { underlay }: World): Finding[] {
  if (offloads?.[vxlanOffload] !== false) return []
  const text = `${underlay.device} does not cut VXLAN's packets itself (${vxlanOffload} is off): slower, nothing else`
  return [{ finding: 'checksum-offload', text }]
}

function ownPeer(world: World): Finding[] {
  const { peers, underlay } = world
  if (peers === undefined || 'group' in peers || knows(peers, world)) return []
  const others = otherNodes(world) ?? []
  if (others.length === 0) return []
  return [
    {
      finding: 'peers',
      text: `no address of this node (${underlay.address} on ${underlay.device}) is among the peers: other nodes send it no broadcast`,
    },
  ]
}

function knows(peers: Extract<Peers, { addresses: readonly string[] }>, { ownAddresses, underlay }: World): boolean {
  return peers.addresses.some((address) => address === underlay.address || ownAddresses.includes(address))
}
