/** Links that the nodes need: for each network a bridge and the VXLAN device that joins it with the other nodes'. */
import type { System } from './schema.ts'

/** Bytes that VXLAN puts in front of a frame over IPv4: outer IP 20, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348). */
const vxlanOverhead4 = 50
/** The same over IPv6, whose header has 40 bytes. */
const vxlanOverhead6 = 70

/** Bytes that VXLAN takes of the underlay's MTU. */
export function vxlanOverhead({ underlay }: Pick<System, 'underlay'>): number {
  return underlay.ipFamily === 6 ? vxlanOverhead6 : vxlanOverhead4
}

export interface NetworkLinks {
  network: 'gateway' | 'router'
  bridge: string
  /** Bytes. */
  bridgeMtu: number
  vxlan: { name: string; vni: number; port: number; mtu: number }
}

/** Name of the VXLAN device of a bridge; 15 characters at most, because a bridge's name has 13. */
export function vxlanName(bridge: string): string {
  return `${bridge}-x`
}

/** Links of every network that the system file configures. */
export function networkLinks(system: System): NetworkLinks[] {
  const links: NetworkLinks[] = [linksOf('gateway', system.gatewayNetwork, system)]
  if (system.routerNetwork !== undefined) links.push(linksOf('router', system.routerNetwork, system))
  return links
}

function linksOf(
  network: NetworkLinks['network'],
  { bridge, mtu, vxlan }: { bridge: string; mtu: number; vxlan: { vni: number } },
  system: System,
): NetworkLinks {
  return {
    network,
    bridge,
    bridgeMtu: mtu,
    vxlan: { name: vxlanName(bridge), vni: vxlan.vni, port: system.underlay.vxlanPort, mtu },
  }
}
