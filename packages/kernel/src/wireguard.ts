import { createPrivateKey, createPublicKey } from 'node:crypto'
import { CommandError, type Runner } from './command.ts'
import type { WireguardDevice, WireguardPeer, WireguardSpec } from './state.ts'

/** DER prefix of a PKCS #8 X25519 private key (RFC 8410), which the 32 raw bytes follow. */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex')

/** Public key of a WireGuard private key, both base64 of 32 bytes; throws a RangeError that does not name the key. */
export function wireguardPublicKey(privateKey: string): string {
  const raw = Buffer.from(privateKey, 'base64')
  if (raw.length !== 32) throw new RangeError('a WireGuard key is 32 bytes in base64')
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, raw]), format: 'der', type: 'pkcs8' })
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')
}

/** A WireGuard device from `wg show DEV dump` (wg(8)); undefined where there is no such device. */
export async function showWireguard(runner: Runner, dev: string): Promise<WireguardDevice | undefined> {
  try {
    return parseWireguardDump(await runner.run({ argv: ['wg', 'show', dev, 'dump'] }), dev)
  } catch (error) {
    if (error instanceof CommandError && (error.kind === 'not-found' || error.kind === 'unsupported')) return undefined
    throw error
  }
}

/** Parses `wg show DEV dump`; the private key, its first field, is dropped here and goes nowhere. */
export function parseWireguardDump(text: string, name: string): WireguardDevice {
  const [head = '', ...rest] = text.trimEnd().split('\n')
  const [, publicKey = '', listenPort = '0', fwmark = 'off'] = head.split('\t')
  const device: WireguardDevice = { name, listenPort: Number(listenPort), peers: rest.map(parsePeer) }
  if (publicKey !== '(none)' && publicKey !== '') device.publicKey = publicKey
  if (fwmark !== 'off') device.fwmark = Number(fwmark)
  return device
}

function parsePeer(line: string): WireguardPeer {
  const [publicKey = '', psk = '', endpoint = '', allowed = '', handshake, received, sent, keepalive = 'off'] =
    line.split('\t')
  const peer: WireguardPeer = {
    publicKey,
    allowedIps: allowed === '(none)' || allowed === '' ? [] : allowed.split(','),
    latestHandshake: Number(handshake ?? 0),
    received: Number(received ?? 0),
    sent: Number(sent ?? 0),
  }
  if (psk !== '(none)' && psk !== '') peer.presharedKey = psk
  if (endpoint !== '(none)' && endpoint !== '') peer.endpoint = endpoint
  if (keepalive !== 'off') peer.persistentKeepalive = Number(keepalive)
  return peer
}

/** Configuration text for `wg syncconf DEV /dev/stdin` (wg(8)). Holds secrets: for standard input only. */
export function renderWireguardConfig(spec: WireguardSpec): string {
  const lines = ['[Interface]', `PrivateKey = ${spec.privateKey}`]
  if (spec.listenPort !== undefined) lines.push(`ListenPort = ${spec.listenPort}`)
  if (spec.fwmark !== undefined) lines.push(`FwMark = ${spec.fwmark}`)
  for (const peer of spec.peers) {
    lines.push('[Peer]', `PublicKey = ${peer.publicKey}`)
    if (peer.presharedKey !== undefined) lines.push(`PresharedKey = ${peer.presharedKey}`)
    if (peer.endpoint !== undefined) lines.push(`Endpoint = ${peer.endpoint}`)
    lines.push(`AllowedIPs = ${peer.allowedIps.join(', ')}`)
    lines.push(`PersistentKeepalive = ${peer.persistentKeepalive ?? 'off'}`)
  }
  return `${lines.join('\n')}\n`
}
