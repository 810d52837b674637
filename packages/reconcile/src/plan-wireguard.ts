import { isDeepStrictEqual } from 'node:util'
import type { WireguardDevice, WireguardPeer, WireguardSpec } from '@vpn-gateway/kernel'
import type { Step } from './step.ts'

/** WireGuard devices; `wg syncconf` changes only the peers that differ, so sessions of the others live on (wg(8)). */
export function planWireguard(
  desired: readonly WireguardSpec[] | undefined,
  observed: readonly WireguardDevice[],
): Step[] {
  const held = new Map(observed.map((device) => [device.name, device]))
  return (desired ?? [])
    .filter((spec) => !sameDevice(spec, held.get(spec.name)))
    .map((spec) => ({ object: 'wireguard', action: 'sync', device: keepPort(spec, held.get(spec.name)) }))
}

/** Without a port of its own a device gets another one with each sync, and what is on its way to the old one is lost. */
function keepPort(spec: WireguardSpec, held: WireguardDevice | undefined): WireguardSpec {
  if (spec.listenPort !== undefined || held === undefined || held.listenPort === 0) return spec
  return { ...spec, listenPort: held.listenPort }
}

function sameDevice(spec: WireguardSpec, device: WireguardDevice | undefined): boolean {
  return (
    device !== undefined &&
    spec.publicKey === device.publicKey &&
    (spec.fwmark ?? 0) === (device.fwmark ?? 0) &&
    (spec.listenPort === undefined || spec.listenPort === device.listenPort) &&
    isDeepStrictEqual(normalPeers(spec.peers), normalPeers(device.peers))
  )
}

type PeerIdentity = Pick<
  WireguardPeer,
  'publicKey' | 'presharedKey' | 'endpoint' | 'allowedIps' | 'persistentKeepalive'
>

/** Handshakes and counters are not configuration; the order of peers and allowed IPs says nothing. */
function normalPeers(peers: readonly PeerIdentity[]): unknown[] {
  return peers
    .map((peer) => [
      peer.publicKey,
      peer.presharedKey ?? '',
      peer.endpoint ?? '',
      [...peer.allowedIps].sort(),
      peer.persistentKeepalive ?? 0,
    ])
    .sort((a, b) => String(a[0]).localeCompare(String(b[0])))
}
