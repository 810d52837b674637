/**
 * Generates wg-quick files in the styles that providers export, each with the tunnel that it describes. Made up but for
 * the order of the lines.
 */
import { wireguardPublicKey } from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import type { Tunnel, TunnelPeer } from '../src/tunnel-file.ts'

/** A value as a file spells it, and as the kernel prints it. */
interface Spelling {
  spelled: string
  printed: string
}
/** A value that a file spells as the kernel prints it. */
export const same = (text: string): Spelling => ({ spelled: text, printed: text })

/** A few keys, since a public key takes longer to compute than a file to parse. */
const key = fc.nat(63).map((number) => createHash('sha256').update(String(number)).digest('base64'))

const address4 = fc.nat(2 ** 24 - 1).map((host) => `10.${host >> 16}.${(host >> 8) & 255}.${host & 255}`)

/** No group is zero, so that there is one canonical form; those with zeros are listed. */
const address6: fc.Arbitrary<Spelling> = fc.oneof(
  fc
    .tuple(
      fc.array(fc.integer({ min: 1, max: 0xffff }), { minLength: 8, maxLength: 8 }),
      fc.constantFrom(0, 4),
      fc.boolean(),
    )
    .map(([groups, width, capitals]) => {
      const spelled = groups.map((group) => group.toString(16).padStart(width, '0')).join(':')
      const printed = groups.map((group) => group.toString(16)).join(':')
      return { spelled: capitals ? spelled.toUpperCase() : spelled, printed }
    }),
  fc.constantFrom(
    { spelled: 'fd7d:76ee:0:0::0:2', printed: 'fd7d:76ee::2' },
    { spelled: 'FC00:BBBB:BBBB:BB01::1:2A', printed: 'fc00:bbbb:bbbb:bb01::1:2a' },
    { spelled: '2001:db8:0:1:0:0:0:9', printed: '2001:db8:0:1::9' },
    { spelled: '64:ff9b::192.0.2.33', printed: '64:ff9b::c000:221' },
    { spelled: '::ffff:c000:221', printed: '::ffff:192.0.2.33' },
    { spelled: '::192.0.2.33', printed: '::192.0.2.33' },
  ),
)

/** Networks that none of the others has, host bits set in some. */
const network4: fc.Arbitrary<Spelling> = fc.oneof(
  fc.constantFrom(same('0.0.0.0/0'), same('0.0.0.0/1'), same('128.0.0.0/1'), {
    spelled: '10.9.8.7/8',
    printed: '10.0.0.0/8',
  }),
  address4.map((address) => ({ spelled: address, printed: `${address}/32` })),
)
const network6: fc.Arbitrary<Spelling> = fc.oneof(
  fc.constantFrom(
    same('::/0'),
    { spelled: '::0/0', printed: '::/0' },
    { spelled: '0:0::0/1', printed: '::/1' },
    { spelled: '3fff:ffff::1/3', printed: '2000::/3' },
    { spelled: '::ffff:0:0/96', printed: '::ffff:0.0.0.0/96' },
  ),
  address6.map(({ spelled, printed }) => ({ spelled: `${spelled}/128`, printed: `${printed}/128` })),
)

const port = fc.integer({ min: 1, max: 65535 })
const hostName = fc.constantFrom(
  'se-got-wg-001.relays.provider.example',
  'NL3.vpn.provider.example',
  'gb1.gw.provider.example',
  'ams-374-wg.provider.example',
  'xn--bcher-kva.example.',
)
const endpoint: fc.Arbitrary<Spelling & { host: string; port: number }> = fc
  .tuple(fc.oneof(address4.map(same), hostName.map(same), address6), port)
  .map(([host, number]) => {
    const bracketed = host.spelled.includes(':') ? `[${host.spelled}]` : host.spelled
    return { spelled: `${bracketed}:${number}`, printed: '', host: host.printed, port: number }
  })

/** What the lines of a file say, before anybody has spelled them. */
interface Content {
  privateKey: string
  addresses: Spelling[]
  dns: Spelling[]
  mtu?: number | undefined
  listenPort?: number | undefined
  peers: PeerContent[]
}
interface PeerContent {
  publicKey: string
  presharedKey?: string | undefined
  endpoint?: (Spelling & { host: string; port: number }) | undefined
  allowedIps: Spelling[]
  keepalive?: number | undefined
}

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 })
const peer: fc.Arbitrary<PeerContent> = fc.record({
  publicKey: key,
  presharedKey: optional(key),
  endpoint,
  allowedIps: fc
    .tuple(fc.array(network4, { minLength: 1, maxLength: 3 }), fc.array(network6, { maxLength: 2 }))
    .map((both) => both.flat()),
  keepalive: optional(fc.constantFrom(0, 15, 25, 65535)),
})
const content: fc.Arbitrary<Content> = fc.record({
  privateKey: key,
  addresses: fc
    .tuple(fc.array(address4.map(same), { minLength: 1, maxLength: 2 }), fc.array(address6, { maxLength: 2 }))
    .map((both) => both.flat()),
  dns: fc.array(fc.oneof(address4.map(same), address6, hostName.map(same)), { maxLength: 3 }),
  mtu: optional(fc.integer({ min: 1280, max: 1500 })),
  listenPort: optional(port),
  // One as in every export; more as in files that people put together.
  peers: fc.oneof(
    { weight: 5, arbitrary: fc.tuple(peer) },
    fc.uniqueArray(peer, { minLength: 2, maxLength: 3, selector: (each) => each.publicKey }),
  ),
})

/** What the parser should make of it. */
export function tunnelOf(said: Content): Tunnel {
  const unique = (items: Spelling[]) => [...new Set(items.map((item) => item.printed))]
  const tunnel: Tunnel = {
    privateKey: said.privateKey,
    publicKey: wireguardPublicKey(said.privateKey),
    addresses4: unique(said.addresses.filter((item) => item.spelled.startsWith('10.'))),
    addresses6: unique(said.addresses.filter((item) => !item.spelled.startsWith('10.'))),
    dns: said.dns.map((item) => item.printed),
    peers: said.peers.map((each, index) => {
      const later = new Set(said.peers.slice(index + 1).flatMap((other) => unique(other.allowedIps)))
      const result: TunnelPeer = {
        publicKey: each.publicKey,
        allowedIps: unique(each.allowedIps).filter((item) => !later.has(item)),
      }
      if (each.endpoint !== undefined) result.endpoint = { host: each.endpoint.host, port: each.endpoint.port }
      if (each.presharedKey !== undefined) result.presharedKey = each.presharedKey
      if (each.keepalive !== undefined && each.keepalive > 0) result.persistentKeepalive = each.keepalive
      return result
    }),
    ignored: [],
  }
  if (said.mtu !== undefined) tunnel.mtu = said.mtu
  if (said.listenPort !== undefined) tunnel.listenPort = said.listenPort
  return tunnel
}

/** Which lines a provider writes in which order; `#` stands for a comment. Lines without content are left out. */
const layouts = {
  mullvad: ['[Interface]', '#', 'PrivateKey', 'Address', 'DNS', '', '[Peer]', 'PublicKey', 'AllowedIPs', 'Endpoint'],
  proton: [
    '[Interface]',
    '#',
    '#',
    'PrivateKey',
    'Address',
    'DNS',
    '',
    '[Peer]',
    '#',
    'PublicKey',
    'AllowedIPs',
    'Endpoint',
  ],
  airvpn: [
    '[Interface]',
    'Address',
    'PrivateKey',
    'MTU',
    'DNS',
    '',
    '[Peer]',
    'PublicKey',
    'PresharedKey',
    'Endpoint',
    'AllowedIPs',
  ],
  ivpn: ['[Interface]', 'PrivateKey', 'Address', 'DNS', '', '[Peer]', 'PublicKey', 'AllowedIPs', 'Endpoint'],
  windscribe: [
    '[Interface]',
    'PrivateKey',
    'Address',
    'DNS',
    '',
    '[Peer]',
    'PublicKey',
    'AllowedIPs',
    'Endpoint',
    'PresharedKey',
  ],
  pia: [
    '[Interface]',
    'Address',
    'PrivateKey',
    'DNS',
    '[Peer]',
    'PersistentKeepalive',
    'PublicKey',
    'AllowedIPs',
    'Endpoint',
  ],
} as const

/** How the lines are spelled; every list is gone round as often as there are lines. */
interface Hand {
  layout: keyof typeof layouts
  newline: string
  bom: boolean
  lastNewline: boolean
  letters: ((name: string) => string)[]
  indents: string[]
  equals: string[]
  commas: string[]
  ends: string[]
  comments: string[]
  /** Whether a list is written as one line for each of its entries. */
  oneEach: boolean
}
const some = <T>(...values: T[]) => fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 4 })
const asIs = (name: string) => name
const hand: fc.Arbitrary<Hand> = fc.record({
  layout: fc.constantFrom(...(Object.keys(layouts) as (keyof typeof layouts)[])),
  newline: fc.constantFrom('\n', '\r\n'),
  bom: fc.boolean(),
  lastNewline: fc.boolean(),
  letters: some(
    asIs,
    asIs,
    (name: string) => name.toLowerCase(),
    (name: string) => name.toUpperCase(),
  ),
  indents: some('', '', ' ', '\t'),
  equals: some(' = ', '=', '  =\t', ' =', '= '),
  commas: some(', ', ',', ' , ', ',\t'),
  ends: some('', '', ' ', '\t', ' # as exported', '#', '# [Peer]'),
  comments: some(
    '# Device: Quick Newt',
    '# NL-FREE#1',
    '# Bouncing = 3',
    '#',
    '# PostUp = no',
    '# 中\u2028[Peer]',
    '#\u0085=\u2029x',
  ),
  oneEach: fc.boolean(),
})

/** The file's text: the content in the hand. */
export function write(said: Content, by: Hand): string {
  let lineNumber = 0
  const turn = <T>(list: T[]) => list[lineNumber % list.length] as T
  const lines: string[] = []
  const put = (text: string) => {
    lines.push(`${turn(by.indents)}${text}${turn(by.ends)}`)
    lineNumber += 1
  }
  const field = (name: string, values: (string | undefined)[]) => {
    const present = values.filter((value) => value !== undefined)
    if (present.length === 0) return
    const groups = by.oneEach ? present : [present.join(turn(by.commas))]
    for (const value of groups) put(`${turn(by.letters)(name)}${turn(by.equals)}${value}`)
  }
  const spelled = (items: Spelling[]) => items.map((item) => item.spelled)
  const layout: readonly string[] = layouts[by.layout]
  const cut = layout.indexOf('[Peer]')
  const section = (names: readonly string[], values: Record<string, (string | undefined)[]>) => {
    const left = { ...values }
    for (const name of names) {
      if (name === '#') put(turn(by.comments))
      else if (name === '') put('')
      else if (name.startsWith('[')) put(turn(by.letters)(name))
      else {
        field(name, left[name] ?? [])
        delete left[name]
      }
    }
    for (const [name, more] of Object.entries(left)) field(name, more)
  }
  section(layout.slice(0, cut), {
    PrivateKey: [said.privateKey],
    Address: spelled(said.addresses).map((address) =>
      by.oneEach ? address : `${address}/${address.includes(':') ? 128 : 32}`,
    ),
    DNS: spelled(said.dns),
    MTU: [said.mtu?.toString()],
    ListenPort: [said.listenPort?.toString()],
  })
  for (const each of said.peers) {
    section(layout.slice(cut), {
      PublicKey: [each.publicKey],
      PresharedKey: [each.presharedKey],
      Endpoint: [each.endpoint?.spelled],
      AllowedIPs: spelled(each.allowedIps),
      PersistentKeepalive: [each.keepalive === 0 ? 'off' : each.keepalive?.toString()],
    })
  }
  return `${by.bom ? '\uFEFF' : ''}${lines.join(by.newline)}${by.lastNewline ? by.newline : ''}`
}

/** A file's private and preshared keys. */
export function secretsOf(said: Content): string[] {
  return [said.privateKey, ...said.peers.flatMap((each) => each.presharedKey ?? [])]
}

/** What a file says and the hand that writes it; `write` and `tunnelOf` take them. */
export const file = fc.tuple(content, hand)
