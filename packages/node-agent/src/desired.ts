import { networkLinks, type NetworkLinks, type System } from '@vpn-gateway/config'
import type { DesiredState, FdbEntry, LinkSpec, Owner } from '@vpn-gateway/kernel'
import { createHash } from 'node:crypto'
import { bridgeFilter } from './bridge-filter.ts'
import { isMadeForPods } from './pod-bridge.ts'
import type { World } from './world.ts'

const alias = 'vpn-gateway'

/** VXLAN's default destination: where floods go (bridge(8)). */
export const floodMac = '00:00:00:00:00:00'

/** How this agent's objects in the kernel are told from everybody else's. */
export function ownerOf(system: System): Owner {
  return {
    alias,
    protocol: 153,
    rulePriorities: [1700, 1799],
    chainPrefix: 'VG-',
    nftTables: [],
    fdbDevices: networkLinks(system).map(({ vxlan }) => vxlan.name),
  }
}

/** What the kernel of a node should hold. Pure. */
export function desired(system: System, world: World): DesiredState {
  const networks = networkLinks(system)
  const usable = networks.filter((network) => !isForeign(network.bridge, world) || isMadeForPods(network, world))
  return {
    iptables: bridgeFilter(
      usable.map(({ bridge }) => bridge),
      world,
    ),
    // A bridge of somebody else stays in the list, so that the conflict is found, but nothing is plugged into it.
    links: [
      ...networks.map((network) => bridgeOf(network, world)),
      ...usable.map((network) => vxlanOf(network, world)),
    ],
    ...floods(usable, world),
    ...(world.sysctls ? { sysctls: Object.assign({}, ...usable.map((network) => silence(network, world))) } : {}),
  }
}

/** What is left of the agent's when it is told to take everything away: nothing. Foreign links stay as they are. Pure. */
export function removed({ ipv6 }: Pick<World, 'ipv6'>): DesiredState {
  const iptables = bridgeFilter([], { ipv6, notrack: false })
  return { links: [], iptables: iptables.map((spec) => ({ ...spec, chains: {}, jumps: {} })) }
}

/** Whether a link of that name is there and was made by somebody else. */
export function isForeign(name: string, { links }: Pick<World, 'links'>): boolean {
  const link = links.find((candidate) => candidate.name === name)
  return link !== undefined && link.alias !== alias
}

/**
 * MAC of a node's link in a network: the same after every restart, so that nothing that others have learned goes stale.
 * Locally administered (bit 1 of the first octet) and unicast (bit 0).
 */
export function macOf(node: string, vni: number, kind: 'bridge' | 'vxlan'): string {
  const octets = createHash('sha256').update(`${node}\n${vni}\n${kind}`).digest().subarray(0, 6)
  octets[0] = ((octets[0] ?? 0) & 0xfc) | 0x02
  return [...octets].map((octet) => octet.toString(16).padStart(2, '0')).join(':')
}

/**
 * The kernel makes a bridge without spanning tree, and with a MAC of its own that no port changes once it was given one
 * (br_stp_recalculate_bridge_id).
 */
function bridgeOf(network: NetworkLinks, world: World): LinkSpec {
  const { bridge, bridgeMtu, vxlan } = network
  return {
    name: bridge,
    kind: 'bridge',
    ...(isMadeForPods(network, world) ? { takeOver: true } : {}),
    mtu: bridgeMtu,
    up: true,
    mac: macOf(world.node, vxlan.vni, 'bridge'),
  }
}

function vxlanOf({ bridge, vxlan }: NetworkLinks, { node, underlay, peers }: World): LinkSpec {
  return {
    name: vxlan.name,
    kind: 'vxlan',
    mtu: vxlan.mtu,
    up: true,
    mac: macOf(node, vxlan.vni, 'vxlan'),
    master: bridge,
    vxlan: {
      id: vxlan.vni,
      port: vxlan.port,
      underlay: underlay.device,
      local: underlay.address,
      ...(peers !== undefined && 'group' in peers ? { group: peers.group } : {}),
      learning: true,
      // A receiver that has verified the outer checksum knows the inner one too, and merges segments without summing
      // them; for the sender it is almost free (local checksum offload). Many NICs verify no inner checksum, so that
      // without the outer one every packet is summed in software.
      udpChecksum: true,
    },
  }
}

/**
 * Default destinations of unicast peers. With a group the kernel makes its own entry along with the link; one more for
 * the same group would send every flood twice.
 */
function floods(networks: readonly NetworkLinks[], world: World): { fdb?: FdbEntry[] } {
  const others = otherNodes(world)
  if (others === undefined) return {}
  return {
    fdb: networks.flatMap(({ vxlan }) =>
      others.map((dst) => ({ dev: vxlan.name, mac: floodMac, dst, state: 'permanent' })),
    ),
  }
}

/**
 * Unicast peers without this node: what a VXLAN link sends to an address of its own node comes in by the same link again
 * (vxlan_encap_bypass_if_local). Undefined with a group, and while the peers are not known.
 */
export function otherNodes({ peers, underlay, ownAddresses }: Pick<World, 'peers' | 'underlay' | 'ownAddresses'>) {
  if (peers === undefined || 'group' in peers) return undefined
  const own = new Set([underlay.address, ...ownAddresses])
  return [...new Set(peers.addresses)].filter((address) => !own.has(address))
}

/**
 * The node itself is no host on these networks. Linux answers ARP for any of its addresses on any link unless told
 * otherwise, and gives every link an IPv6 address (ip-sysctl).
 */
function silence({ bridge, vxlan }: NetworkLinks, { ipv6 }: World): Record<string, string> {
  return {
    [`net.ipv4.conf.${bridge}.arp_ignore`]: '8',
    [`net.ipv4.conf.${bridge}.forwarding`]: '0',
    ...(ipv6
      ? { [`net.ipv6.conf.${bridge}.disable_ipv6`]: '1', [`net.ipv6.conf.${vxlan.name}.disable_ipv6`]: '1' }
      : {}),
  }
}
