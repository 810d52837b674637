/**
 * Reads a provider's wg-quick file (wg-quick(8), wg(8)) as it was exported. Values never appear in an error: with one
 * character out of place any line may hold a key.
 */
import { readTextFile, UserError } from '@vpn-gateway/config'
import { wireguardPublicKey } from '@vpn-gateway/kernel'
import {
  allowedIp,
  endpoint,
  integer,
  interfaceAddress,
  key,
  list,
  nameServer,
  Problem,
  words,
  type Endpoint,
} from './tunnel-value.ts'

/** A peer of the tunnel. May hold a secret. */
export interface TunnelPeer {
  publicKey: string
  presharedKey?: string
  endpoint?: Endpoint
  /** CIDRs as the kernel prints them: host bits cleared, each with one peer only. */
  allowedIps: string[]
  /** Seconds, 1 to 65535; absent when off. */
  persistentKeepalive?: number
}

/** One tunnel, from one wg-quick file. Holds secrets. */
export interface Tunnel {
  privateKey: string
  publicKey: string
  /** IPv4 addresses without prefix, at least one, in the file's order. */
  addresses4: string[]
  addresses6: string[]
  /** Name servers and search domains of the provider. */
  dns: string[]
  /** Bytes; absent when the file names none. */
  mtu?: number
  listenPort?: number
  peers: TunnelPeer[]
  /** Keys that were understood and have no effect here, because the agent does the routing itself. */
  ignored: string[]
}

/** Bytes; an export is below 2 KiB, even with long lists of allowed IPs. */
const sizeLimit = 64 * 1024
/** Each has a policy rule of its own, for which the agent has thirty priorities; an export names one. */
const mostAddresses = 16
/** A file of another kind would give one problem for each of its lines. */
const mostProblems = 20

/** Reads and parses the file; throws a `UserError` with one line for each problem. */
export async function readTunnelFile(path: string): Promise<Tunnel> {
  let text: string
  try {
    text = await readTextFile(path, sizeLimit)
  } catch (error) {
    throw new UserError(`${path}: cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`)
  }
  return parseTunnelFile(text, path)
}

/** Parses the text of a wg-quick file; `file` only names it in errors. Throws a `UserError`, whatever the text is. */
export function parseTunnelFile(text: string, file: string): Tunnel {
  if (Buffer.byteLength(text) > sizeLimit)
    throw new UserError(`${file}:1: longer than ${sizeLimit} bytes: not a wg-quick file`)
  const draft: Draft = { interfaceLine: 1, addresses4: [], addresses6: [], dns: [], peers: [], ignored: [] }
  const problems: string[] = []
  // As wg(8) does: a return within a line is a blank like others, and ends no comment.
  const lines = text.replace(/^\uFEFF/, '').split('\n')
  let fields: Fields | undefined
  lines.forEach((raw, index) => {
    if (problems.length >= mostProblems) return
    // As wg(8) does: a comment starts anywhere, whatever it holds.
    const [beforeComment = ''] = raw.split('#', 1)
    const line = beforeComment.trim()
    if (line === '') return
    try {
      if (line.startsWith('[')) fields = openSection(withoutBlanks(line).toLowerCase(), draft, index + 1)
      else assign(line, fields)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problems.push(`${file}:${index + 1}: ${error.message}`)
      // One report of a bad section is enough: its lines are skipped.
      if (line.startsWith('[')) fields = skipped
    }
  })
  problems.push(...missing(draft, lines.length).map(({ line, reason }) => `${file}:${line}: ${reason}`))
  if (problems.length > 0 || draft.privateKey === undefined) throw new UserError(problems.slice(0, mostProblems))
  return finish(draft, draft.privateKey)
}

interface PeerDraft {
  line: number
  publicKey?: string
  presharedKey?: string
  endpoint?: Endpoint
  allowedIps: string[]
  persistentKeepalive?: number
}

interface Draft {
  interfaceLine: number
  privateKey?: string
  addresses4: string[]
  addresses6: string[]
  dns: string[]
  mtu?: number
  listenPort?: number
  peers: PeerDraft[]
  ignored: string[]
}

/** Lower-case key to what it does with its value, given without blanks as wg(8) reads it, and as it was written. */
type Fields = ReadonlyMap<string, (value: string, written: string) => void>

const skipped: Fields = new Map()

function openSection(name: string, draft: Draft, line: number): Fields {
  if (name === '[interface]') {
    draft.interfaceLine = line
    return interfaceFields(draft)
  }
  if (name === '[peer]') {
    const peer: PeerDraft = { line, allowedIps: [] }
    draft.peers.push(peer)
    return peerFields(peer)
  }
  throw new Problem('unknown section: expected [Interface] or [Peer]')
}

function assign(line: string, fields: Fields | undefined): void {
  if (fields === skipped) return
  if (fields === undefined) throw new Problem('before the first section: expected [Interface]')
  const equals = line.indexOf('=')
  if (equals < 1) throw new Problem('expected KEY = VALUE')
  const field = fields.get(withoutBlanks(line.slice(0, equals)).toLowerCase())
  if (field === undefined) throw new Problem(`unknown key: expected one of ${[...fields.keys()].join(', ')}`)
  const written = line.slice(equals + 1)
  field(withoutBlanks(written), written)
}

function withoutBlanks(text: string): string {
  return text.replaceAll(/\s/g, '')
}

function interfaceFields(draft: Draft): Fields {
  const ignore = (name: string, pattern: RegExp, expected: string) => (value: string) => {
    if (!pattern.test(value)) throw new Problem(`${name}: expected ${expected}`)
    draft.ignored.push(name)
  }
  const refuse = (name: string) => () => {
    throw new Problem(`${name} is refused: commands from a tunnel file are not run; take the line out`)
  }
  return new Map([
    ['privatekey', (value: string) => void (draft.privateKey = key('PrivateKey', value))],
    ['address', (_: string, written: string) => words(written).forEach((item) => addAddress(draft, item))],
    ['dns', (_: string, written: string) => void draft.dns.push(...words(written).map(nameServer))],
    ['mtu', (value: string) => void (draft.mtu = integer('MTU', value, 576, 65535))],
    ['listenport', (value: string) => void (draft.listenPort = integer('ListenPort', value, 0, 65535))],
    ['fwmark', ignore('FwMark', /^(?:off|\d{1,10}|0x[0-9a-f]{1,8})$/i, 'off or a number')],
    ['table', ignore('Table', /^(?:off|auto|\w{1,32})$/i, 'off, auto or a table')],
    ['saveconfig', ignore('SaveConfig', /^(?:true|false)$/i, 'true or false')],
    ...['PreUp', 'PostUp', 'PreDown', 'PostDown'].map((name) => [name.toLowerCase(), refuse(name)] as const),
  ])
}

function peerFields(peer: PeerDraft): Fields {
  return new Map([
    ['publickey', (value: string) => void (peer.publicKey = key('PublicKey', value))],
    ['presharedkey', (value: string) => void (peer.presharedKey = key('PresharedKey', value))],
    ['endpoint', (value: string) => void (peer.endpoint = endpoint(value))],
    ['allowedips', (value: string) => void peer.allowedIps.push(...list('AllowedIPs', value).map(allowedIp))],
    ['persistentkeepalive', (value: string) => setKeepalive(peer, value)],
  ])
}

function addAddress(draft: Draft, item: string): void {
  // Without the prefix: it would put a connected route into the main table, which may shadow the cluster's networks.
  const { family, address } = interfaceAddress(item)
  if (family === 4) draft.addresses4.push(address)
  else draft.addresses6.push(address)
}

function setKeepalive(peer: PeerDraft, value: string): void {
  const seconds = value.toLowerCase() === 'off' ? 0 : integer('PersistentKeepalive', value, 0, 65535)
  if (seconds > 0) peer.persistentKeepalive = seconds
  else delete peer.persistentKeepalive
}

function missing(draft: Draft, lastLine: number): { line: number; reason: string }[] {
  const found: { line: number; reason: string }[] = []
  const say = (line: number, reason: string) => void found.push({ line, reason })
  if (draft.privateKey === undefined) say(draft.interfaceLine, '[Interface] has no valid PrivateKey')
  if (draft.addresses4.length === 0) {
    const only6 = draft.addresses6.length > 0 ? ', only IPv6: the gateway network carries IPv4' : ''
    say(draft.interfaceLine, `[Interface] has no valid IPv4 Address${only6}`)
  }
  if (draft.addresses4.length > mostAddresses) {
    say(
      draft.interfaceLine,
      `[Interface] has ${draft.addresses4.length} IPv4 addresses: expected at most ${mostAddresses}`,
    )
  }
  if (draft.peers.length === 0) say(lastLine, 'the file has no [Peer]')
  else if (draft.peers.every((peer) => peer.endpoint === undefined)) say(lastLine, 'no [Peer] has a valid Endpoint')
  if (draft.peers.length > 0 && !draft.peers.some((peer) => peer.allowedIps.some((item) => !item.includes(':')))) {
    say(lastLine, 'no [Peer] has an IPv4 network in AllowedIPs: nothing would go through the tunnel')
  }
  const seen = new Set<string>()
  for (const peer of draft.peers) {
    if (peer.publicKey === undefined) say(peer.line, '[Peer] has no valid PublicKey')
    else if (seen.has(peer.publicKey)) say(peer.line, '[Peer] has the same PublicKey as one before it')
    else seen.add(peer.publicKey)
  }
  return found
}

function finish(draft: Draft, privateKey: string): Tunnel {
  const tunnel: Tunnel = {
    privateKey,
    publicKey: wireguardPublicKey(privateKey),
    addresses4: [...new Set(draft.addresses4)],
    addresses6: [...new Set(draft.addresses6)],
    dns: draft.dns,
    peers: peersOf(draft.peers),
    ignored: [...new Set(draft.ignored)],
  }
  if (draft.mtu !== undefined) tunnel.mtu = draft.mtu
  if (draft.listenPort !== undefined && draft.listenPort > 0) tunnel.listenPort = draft.listenPort
  return tunnel
}

/** The kernel gives an allowed IP to one peer only, the last that asks for it. */
function peersOf(drafts: readonly PeerDraft[]): TunnelPeer[] {
  const taken = new Set<string>()
  const peers: TunnelPeer[] = []
  for (const { line: _, publicKey = '', allowedIps, ...rest } of drafts.toReversed()) {
    const own = [...new Set(allowedIps)].filter((item) => !taken.has(item))
    own.forEach((item) => taken.add(item))
    peers.unshift({ ...rest, publicKey, allowedIps: own })
  }
  return peers
}
