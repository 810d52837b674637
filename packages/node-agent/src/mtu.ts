/** The MTU chain on this node, against the underlay as it really is. Pure. */
import { networkLinks, vxlanOverhead, type NetworkLinks, type System } from '@vpn-gateway/config'
import type { Underlay } from './underlay.ts'

/** One network's place in the chain; all in bytes. */
export interface NetworkMtu {
  network: NetworkLinks['network']
  configured: number
  /** The largest that this node can carry: underlay less VXLAN, and for the gateway network no more than the tunnel. */
  best: number
}

/** Configured and best MTU of every network. */
export function networkMtus(system: System, underlay: Pick<Underlay, 'mtu'>): NetworkMtu[] {
  const most = underlay.mtu - vxlanOverhead(system)
  return networkLinks(system).map(({ network, vxlan }) => ({
    network,
    configured: vxlan.mtu,
    best: network === 'gateway' ? Math.min(most, system.tunnel.mtu) : most,
  }))
}

/** Networks whose full-size frames the underlay would drop, one line each with the value that fits. */
export function mtuProblems(system: System, underlay: Pick<Underlay, 'mtu' | 'device'>): string[] {
  return networkMtus(system, underlay)
    .filter(({ configured }) => configured > underlay.mtu - vxlanOverhead(system))
    .map(
      ({ network, configured, best }) =>
        `${network}Network.mtu: ${configured} is more than the ${underlay.mtu} of ${underlay.device} on this node ` +
        `less ${vxlanOverhead(system)} bytes of VXLAN: expected at most ${best}`,
    )
}
