import type { System } from '@vpn-gateway/config'
import type { DesiredState, WireguardSpec } from '@vpn-gateway/kernel'
import type { Tunnel } from './tunnel-file.ts'
import type { World } from './world.ts'

/** Name of the tunnel's link. */
export const tunnelLink = 'wg0'

/** Seconds after which WireGuard gives a session up (REJECT_AFTER_TIME of its protocol). */
export const sessionLife = 180

/** Bytes of the tunnel's packets, headers of the inner IP included. */
export function tunnelMtu(system: System, tunnel: Tunnel): number {
  return tunnel.mtu ?? system.tunnel.mtu
}

/** The WireGuard link, its configuration and its addresses. */
export function desiredTunnel(
  system: System,
  tunnel: Tunnel,
  world: World,
): Required<Pick<DesiredState, 'links' | 'wireguard' | 'addresses'>> {
  return {
    links: [
      {
        name: tunnelLink,
        kind: world.implementation === 'kernel' ? 'wireguard' : 'tun',
        mtu: tunnelMtu(system, tunnel),
        up: true,
      },
    ],
    wireguard: [wireguardOf(tunnel, world)],
    addresses: tunnel.addresses4.map((address) => ({ dev: tunnelLink, address: `${address}/32`, family: 4 })),
  }
}

/**
 * No fwmark: the encrypted packets follow the main table, whose default is the pod network, and no rule of ours looks at
 * packets that are neither from the tunnel's address nor from the gateway network.
 */
function wireguardOf(tunnel: Tunnel, world: World): WireguardSpec {
  const spec: WireguardSpec = {
    name: tunnelLink,
    privateKey: tunnel.privateKey,
    publicKey: tunnel.publicKey,
    peers: tunnel.peers.map((peer) => {
      const { endpoint: _, ...rest } = peer
      const endpoint = world.endpoints.get(peer.publicKey)
      return endpoint === undefined ? rest : { ...rest, endpoint }
    }),
  }
  if (tunnel.listenPort !== undefined) spec.listenPort = tunnel.listenPort
  return spec
}
