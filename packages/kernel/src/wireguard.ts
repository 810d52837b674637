import { createPrivateKey } from 'node:crypto'
import { CommandError, type Runner } from './command.ts'
import type { WireguardDevice, WireguardPeer, WireguardSpec } from './state.ts'

/** DER prefix of a PKCS #8 X25519 private key (RFC 8410), which the 32 raw bytes follow. */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex')

/** Public key of a WireGuard private key, both base64 of 32 bytes; throws a RangeError that does not name the key. */
export function wireguardPublicKey(privateKey: string): string {
  const raw = Buffer.from(privateKey, 'base64')
  if (raw.length !== 32) throw new RangeError('a WireGuard key is 32 bytes in base64')
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, raw]), format: 'der', type: 'pkcs8' })
  const { x = '' } = key.export({ format: 'jwk' })
  return Buffer.from(x, 'base64url').toString('base64')
}

/**
 * The private key as X25519 uses it, with the bits set and cleared that RFC 7748 (5) names. The kernel keeps it so, and
 * takes one that is written otherwise for another: every `wg syncconf` would end the sessions of all peers.
 */
function clamped(privateKey: string): string {
  const raw = Buffer.from(privateKey, 'base64')
  if (raw.length !== 32) return privateKey
  raw.writeUInt8(raw.readUInt8(0) & 0xf8, 0)
  raw.writeUInt8((raw.readUInt8(31) & 0x7f) | 0x40, 31)
  return raw.toString('base64')
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

/** Makes a device hold a configuration that comes on standard input; sessions of peers that stay the same live on (wg(8)). */
export function syncWireguardCommand(dev: string): [string, ...string[]] {
  return configureCommand('syncconf', dev)
}

/** wg opens the file by name, which fails (ENXIO) on the socket pair that Node gives a child; `cat |` makes it a pipe. */
function configureCommand(command: 'setconf' | 'syncconf', dev: string): [string, ...string[]] {
  return ['sh', '-c', `cat | wg ${command} "$0" /proc/self/fd/0`, dev]
}

/**
 * Takes the peers out and puts them back, so that the kernel forgets their sessions and shakes hands with the next packet.
 * By itself it would go on with a session that the other end has lost until it heard nothing for 15 s (the protocol's
 * KEEPALIVE_TIMEOUT and REKEY_TIMEOUT together). Counters of the peers begin at 0 again. `wg setconf` is one request that
 * replaces all peers (WGDEVICE_F_REPLACE_PEERS), so that no packet finds the device without any and is answered "host
 * unreachable". A port that the device has and `spec` does not name stays.
 */
export async function resetWireguardPeers(runner: Runner, spec: WireguardSpec): Promise<void> {
  const listenPort = spec.listenPort ?? (await showWireguard(runner, spec.name))?.listenPort
  await runner.run({
    argv: configureCommand('setconf', spec.name),
    stdin: renderWireguardConfig({ ...spec, ...(listenPort ? { listenPort } : {}) }),
    secret: true,
  })
}

/** Configuration text for `wg syncconf` and `wg setconf` (wg(8)). Holds secrets: for standard input only. */
export function renderWireguardConfig(spec: WireguardSpec): string {
  const lines = ['[Interface]', `PrivateKey = ${clamped(spec.privateKey)}`]
  if (spec.listenPort !== undefined) lines.push(`ListenPort = ${spec.listenPort}`)
  if (spec.fwmark !== undefined) lines.push(`FwMark = ${spec.fwmark}`)
  for (const peer of spec.peers) {
    lines.push('[Peer]', `PublicKey = ${peer.publicKey}`)
    if (peer.presharedKey !== undefined) lines.push(`PresharedKey = ${peer.presharedKey}`)
    if (peer.endpoint !== undefined) lines.push(`Endpoint = ${peer.endpoint}`)
    // wg refuses the line without a value; [Peer] alone replaces the list that a peer has.
    if (peer.allowedIps.length > 0) lines.push(`AllowedIPs = ${peer.allowedIps.join(', ')}`)
    lines.push(`PersistentKeepalive = ${peer.persistentKeepalive ?? 'off'}`)
  }
  return `${lines.join('\n')}\n`
}
