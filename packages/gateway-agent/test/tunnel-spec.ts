/** What a device should hold of a tunnel file, and what it holds, in one form. */
import { isIP } from 'node:net'
import type { WireguardDevice, WireguardSpec } from '@vpn-gateway/kernel'
import { joinEndpoint } from '../src/endpoint.ts'
import type { Tunnel } from '../src/tunnel-file.ts'

/** Address that endpoints with a host name have here: there is nobody to ask. */
export const nameless = '192.0.2.7'

/** The device of a tunnel; host names have an address that is made up. */
export function specOf({ privateKey, publicKey, listenPort, peers }: Tunnel, name: string): WireguardSpec {
  return {
    name,
    privateKey,
    publicKey,
    ...(listenPort === undefined ? {} : { listenPort }),
    peers: peers.map(({ endpoint, ...peer }) => {
      if (endpoint === undefined) return peer
      const address = isIP(endpoint.host) === 0 ? nameless : endpoint.host
      return { ...peer, endpoint: joinEndpoint(address, endpoint.port) }
    }),
  }
}

type Comparable = Pick<WireguardDevice, 'publicKey' | 'listenPort'> & {
  peers: readonly WireguardSpec['peers'][number][]
}

/** Configuration only, in one order. */
export function comparable({ publicKey, listenPort, peers }: Comparable): unknown {
  return {
    publicKey,
    listenPort,
    peers: peers
      .map((peer) => [
        peer.publicKey ?? '',
        peer.presharedKey ?? '',
        peer.endpoint ?? '',
        (peer.allowedIps ?? []).toSorted().join(' '),
        peer.persistentKeepalive ?? 0,
      ])
      .sort((one, other) => String(one[0]).localeCompare(String(other[0]))),
  }
}
