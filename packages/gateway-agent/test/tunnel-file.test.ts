import { UserError } from '@vpn-gateway/config'
import { wireguardPublicKey } from '@vpn-gateway/kernel'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parseTunnelFile, type Tunnel } from '../src/tunnel-file.ts'

/** Keys made up from a word; as random to a reader as real ones. */
const key = (word: string) => createHash('sha256').update(word).digest('base64')
const privateKey = key('private')
const peerKey = key('peer')
const presharedKey = key('preshared')

const minimal = `[Interface]
PrivateKey = ${privateKey}
Address = 10.64.1.2/32

[Peer]
PublicKey = ${peerKey}
AllowedIPs = 0.0.0.0/0
Endpoint = 198.51.100.20:51820
`

function problemsOf(text: string): string[] {
  try {
    parseTunnelFile(text, 'wg.conf')
  } catch (error) {
    if (error instanceof UserError) return [...error.problems]
    throw error
  }
  return []
}

describe('accepted', () => {
  test('the least that a tunnel needs', () => {
    expect(parseTunnelFile(minimal, 'wg.conf')).toEqual({
      privateKey,
      publicKey: wireguardPublicKey(privateKey),
      addresses4: ['10.64.1.2'],
      addresses6: [],
      dns: [],
      peers: [{ publicKey: peerKey, allowedIps: ['0.0.0.0/0'], endpoint: { host: '198.51.100.20', port: 51820 } }],
      ignored: [],
    } satisfies Tunnel)
  })

  test('BOM, CRLF, comments, any case, blanks, lists, repeated keys, both families', () => {
    const text = [
      '\uFEFF# Bouncing = 3',
      '[INTERFACE] # the device',
      `privatekey=${privateKey}# behind the value`,
      'ADDRESS = 10.2.0.2/32 , fd00:0:0::2/128',
      'Address=10.2.0.3',
      'DNS = 10.2.0.1, 2001:db8::53,example.net',
      'MTU = 1320',
      'ListenPort = 51821',
      'FwMark = 0xca6c',
      'Table = off',
      'SaveConfig = false',
      '  [Peer]',
      `PublicKey = ${peerKey}`,
      `PresharedKey = ${presharedKey}`,
      'AllowedIPs = 0.0.0.0/1',
      'allowedips = 128.0.0.0/1, ::/0',
      'Endpoint = [2001:db8:0::5]:443',
      'PersistentKeepalive = 25',
      '[Peer]',
      `PublicKey = ${key('other')}`,
      'AllowedIPs = 10.9.8.7/8',
      'Endpoint = vpn.example.net:1194',
      'PersistentKeepalive = off',
    ].join('\r\n')
    expect(parseTunnelFile(text, 'wg.conf')).toMatchObject({
      addresses4: ['10.2.0.2', '10.2.0.3'],
      addresses6: ['fd00::2'],
      dns: ['10.2.0.1', '2001:db8::53', 'example.net'],
      mtu: 1320,
      listenPort: 51821,
      ignored: ['FwMark', 'Table', 'SaveConfig'],
      peers: [
        {
          publicKey: peerKey,
          presharedKey,
          allowedIps: ['0.0.0.0/1', '128.0.0.0/1', '::/0'],
          endpoint: { host: '2001:db8::5', port: 443 },
          persistentKeepalive: 25,
        },
        { publicKey: key('other'), allowedIps: ['10.0.0.0/8'], endpoint: { host: 'vpn.example.net', port: 1194 } },
      ],
    })
  })

  test('an allowed IP that two peers ask for goes to the last, as in the kernel', () => {
    const text = `${minimal}[Peer]\nPublicKey = ${key('other')}\nAllowedIPs = 0.0.0.0/0, 0.0.0.0/0, 10.0.0.0/8\n`
    const { peers } = parseTunnelFile(text, 'wg.conf')
    expect(peers.map((peer) => peer.allowedIps)).toEqual([[], ['0.0.0.0/0', '10.0.0.0/8']])
  })
})

test('embedded IPv4 addresses are those that the kernel prints', () => {
  const text = minimal.replace('0.0.0.0/0', '0.0.0.0/0, ::192.0.2.1, ::ffff:192.0.2.1, 64:ff9b::192.0.2.1, ::2')
  expect(parseTunnelFile(text, 'wg.conf').peers[0]?.allowedIps.slice(1)).toEqual([
    '::192.0.2.1/128',
    '::ffff:192.0.2.1/128',
    '64:ff9b::c000:201/128',
    '::2/128',
  ])
})

test('a comment goes on to the end of the line, whatever it holds', () => {
  expect(parseTunnelFile(`# a\u2028b\n${minimal}`, 'wg.conf')).toEqual(parseTunnelFile(minimal, 'wg.conf'))
})

test('a return within a line ends neither it nor its comment, as for wg', () => {
  expect(parseTunnelFile(`# a\rEndpoint = 192.0.2.66:1\n${minimal}`, 'wg.conf')).toEqual(
    parseTunnelFile(minimal, 'wg.conf'),
  )
})

describe('refused, with the line and the reason', () => {
  const replaced = (line: string, by: string) => minimal.replace(line, by)
  test.each([
    ['no peer', minimal.slice(0, minimal.indexOf('[Peer]')), ['wg.conf:5: the file has no [Peer]']],
    [
      'nothing',
      '',
      [
        'wg.conf:1: [Interface] has no valid PrivateKey',
        'wg.conf:1: [Interface] has no valid IPv4 Address',
        'wg.conf:1: the file has no [Peer]',
      ],
    ],
    ['no key', replaced(`PrivateKey = ${privateKey}\n`, ''), ['wg.conf:1: [Interface] has no valid PrivateKey']],
    ['no address', replaced('Address = 10.64.1.2/32\n', ''), ['wg.conf:1: [Interface] has no valid IPv4 Address']],
    [
      'only IPv6',
      replaced('10.64.1.2/32', 'fd00::2/128'),
      ['wg.conf:1: [Interface] has no valid IPv4 Address, only IPv6: the gateway network carries IPv4'],
    ],
    [
      'more addresses than there are rules for',
      replaced('10.64.1.2/32', Array.from({ length: 17 }, (_, index) => `10.64.1.${index}`).join()),
      ['wg.conf:1: [Interface] has 17 IPv4 addresses: expected at most 16'],
    ],
    [
      'a short key',
      replaced(peerKey, peerKey.slice(4)),
      ['wg.conf:6: PublicKey: expected 32 bytes in base64 (44 characters)', 'wg.conf:5: [Peer] has no valid PublicKey'],
    ],
    [
      'a zero key',
      replaced(peerKey, `${'A'.repeat(43)}=`),
      ['wg.conf:6: PublicKey: is all zeros', 'wg.conf:5: [Peer] has no valid PublicKey'],
    ],
    [
      'a command',
      replaced('Address', 'PostUp = iptables -F\nAddress'),
      ['wg.conf:3: PostUp is refused: commands from a tunnel file are not run; take the line out'],
    ],
    [
      'a mistyped endpoint address',
      replaced('198.51.100.20', '198.51.100.256'),
      ['wg.conf:8: Endpoint: expected an address or a host name', 'wg.conf:9: no [Peer] has a valid Endpoint'],
    ],
    [
      'an endpoint without port',
      replaced(':51820', ''),
      [
        'wg.conf:8: Endpoint: expected HOST:PORT or [IPV6]:PORT with a port from 1 to 65535',
        'wg.conf:9: no [Peer] has a valid Endpoint',
      ],
    ],
    [
      'a prefix too long',
      replaced('0.0.0.0/0', '0.0.0.0/33'),
      [
        'wg.conf:7: AllowedIPs: expected IPv4 or IPv6 addresses, each with or without a prefix length',
        'wg.conf:9: no [Peer] has an IPv4 network in AllowedIPs: nothing would go through the tunnel',
      ],
    ],
    [
      'a keepalive too long',
      `${minimal}PersistentKeepalive = 65536`,
      ['wg.conf:9: PersistentKeepalive: expected a number from 0 to 65535'],
    ],
    [
      'an MTU too small',
      replaced('Address', 'MTU = 500\nAddress'),
      ['wg.conf:3: MTU: expected a number from 576 to 65535'],
    ],
    [
      'the same peer twice',
      `${minimal}[Peer]\nPublicKey = ${peerKey}\n`,
      ['wg.conf:9: [Peer] has the same PublicKey as one before it'],
    ],
    [
      'a line before any section',
      `MTU = 1400\n${minimal}`,
      ['wg.conf:1: before the first section: expected [Interface]'],
    ],
    [
      'an unknown section',
      `${minimal}[Peers]\nPublicKey = x\n`,
      ['wg.conf:9: unknown section: expected [Interface] or [Peer]'],
    ],
    [
      'an unknown key',
      `${minimal}Jc = 4\n`,
      ['wg.conf:9: unknown key: expected one of publickey, presharedkey, endpoint, allowedips, persistentkeepalive'],
    ],
  ])('%s', (_name, text, problems) => {
    expect(problemsOf(text)).toEqual(problems)
  })
})
