/** What a wrong system file is answered with: one line a problem, the field first, then what was expected. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadSystem, parseSystem, tunnelPort, UserError } from '@vpn-gateway/config'

const example = readFileSync(new URL('../../../deploy/vpn-gateway.yaml', import.meta.url), 'utf8')

function problems(text: string): readonly string[] {
  try {
    parseSystem(text, 'system.yaml')
  } catch (error) {
    if (error instanceof UserError) return error.problems
    throw error
  }
  return []
}

/** The example with one text replaced by another; the replacement must have been possible. */
function changed(from: string, to: string): string {
  expect(example).toContain(from)
  return example.replace(from, to)
}

test('the published example is valid, with defaults filled in', () => {
  const system = parseSystem(example, 'system.yaml')
  expect(system.gatewayNetwork.vip).toBe('192.168.50.240')
  expect(system.router).toMatchObject({ virtualRouterId: 51, scheduler: 'wlc' })
})

test('clients may be sticky, by client and for an hour unless said', () => {
  const text = changed('scheduler: wlc', 'scheduler: wlc\n  stickiness: [{ clients: 192.168.50.1-192.168.50.9 }]')
  expect(parseSystem(text, 'system.yaml').router.stickiness).toEqual([
    { clients: '192.168.50.1-192.168.50.9', by: 'client', seconds: 3600 },
  ])
})

test('a service that tells the exit address may be named, over http or https', () => {
  expect(parseSystem(example, 'system.yaml').tunnel.exitAddressUrl).toBeUndefined()
  for (const url of ['https://ip.example.net/', 'http://192.0.2.1:8080/ip']) {
    const text = changed('tunnel:\n', `tunnel:\n  exitAddressUrl: ${url}\n`)
    expect(parseSystem(text, 'system.yaml').tunnel.exitAddressUrl).toBe(url)
  }
})

test.each([
  [
    'an unknown key, with the one that was meant',
    'vip:',
    'vipp:',
    ['gatewayNetwork.vip: missing: expected text', 'gatewayNetwork.vipp: unknown key: expected vip?'],
  ],
  [
    'a tunnel that would be down between two probes',
    'tunnel:\n',
    'tunnel:\n  probe: { interval: 5 }\n',
    [
      'tunnel.probe.window: 2.5 s is not more than tunnel.probe.interval 5 s: the tunnel would be down between two probes',
    ],
  ],
  [
    'a VIP outside the subnet',
    'vip: 192.168.50.240',
    'vip: 192.168.51.240',
    ['gatewayNetwork.vip: 192.168.51.240 is outside gatewayNetwork.subnet 192.168.50.0/24'],
  ],
  [
    'a VIP inside a range',
    'vip: 192.168.50.240',
    'vip: 192.168.50.241',
    ['gatewayNetwork.routers: 192.168.50.241-192.168.50.247 overlaps gatewayNetwork.vip 192.168.50.241'],
  ],
  [
    'overlapping ranges',
    'clients: 192.168.50.1-192.168.50.239',
    'clients: 192.168.50.1-192.168.50.249',
    [
      'gatewayNetwork.vip: 192.168.50.240 overlaps gatewayNetwork.clients 192.168.50.1-192.168.50.249',
      'gatewayNetwork.routers: 192.168.50.241-192.168.50.247 overlaps gatewayNetwork.clients 192.168.50.1-192.168.50.249',
      'gatewayNetwork.gateways: 192.168.50.248-192.168.50.254 overlaps gatewayNetwork.clients 192.168.50.1-192.168.50.249',
    ],
  ],
  [
    'a range that holds the network address',
    'clients: 192.168.50.1-',
    'clients: 192.168.50.0-',
    [
      'gatewayNetwork.clients: 192.168.50.0-192.168.50.239 holds the network or broadcast address of gatewayNetwork.subnet 192.168.50.0/24',
    ],
  ],
  [
    'sticky clients that are none',
    'scheduler: wlc',
    'scheduler: wlc\n  stickiness: [{ clients: 192.168.50.230-192.168.50.240 }]',
    [
      'router.stickiness[0].clients: 192.168.50.230-192.168.50.240 is outside gatewayNetwork.clients 192.168.50.1-192.168.50.239',
    ],
  ],
  [
    'clients that are to be sticky twice',
    'scheduler: wlc',
    'scheduler: wlc\n  stickiness: [{ clients: 192.168.50.1-192.168.50.9 }, { clients: 192.168.50.9-192.168.50.12, by: client-and-destination }]',
    ['router.stickiness[1].clients: 192.168.50.9-192.168.50.12 overlaps router.stickiness[0].clients'],
  ],
  [
    'an MTU that VXLAN leaves no room for',
    'mtu: 1450',
    'mtu: 1460',
    ['routerNetwork.mtu: 1460 is more than underlay.mtu 1500 less 50 bytes of VXLAN: expected at most 1450'],
  ],
  [
    'an MTU that the tunnel cannot take',
    'tunnel:\n  mtu: 1420',
    'tunnel:\n  mtu: 1380',
    ['gatewayNetwork.mtu: 1420 is more than tunnel.mtu 1380: expected at most 1380'],
  ],
  [
    'networks that overlap',
    'subnet: 192.168.51.0/24',
    'subnet: 192.168.50.0/25',
    ['routerNetwork.subnet: 192.168.50.0/25 overlaps gatewayNetwork.subnet 192.168.50.0/24'],
  ],
  [
    'a router network among link-local addresses',
    'subnet: 192.168.51.0/24',
    'subnet: 169.254.51.0/24',
    ['routerNetwork.subnet: 169.254.51.0/24 overlaps 169.254.0.0/16, link-local addresses: expected another network'],
  ],
  [
    'a router network of loopback addresses',
    'subnet: 192.168.51.0/24',
    'subnet: 127.0.51.0/24',
    ['routerNetwork.subnet: 127.0.51.0/24 overlaps 127.0.0.0/8, loopback: expected another network'],
  ],
  [
    'a router network of multicast addresses',
    'subnet: 192.168.51.0/24',
    'subnet: 239.0.0.0/24',
    [
      'routerNetwork.subnet: 239.0.0.0/24 overlaps 224.0.0.0/3, multicast and reserved addresses: expected another network',
    ],
  ],
  [
    'a router network that is nobody’s',
    'subnet: 192.168.51.0/24',
    'subnet: 0.0.51.0/24',
    ['routerNetwork.subnet: 0.0.51.0/24 overlaps 0.0.0.0/8, addresses of this host alone: expected another network'],
  ],
  [
    'an intranet that holds the gateway network',
    'intranet: [10.0.0.0/8]',
    'intranet: [10.0.0.0/8, 192.168.0.0/16]',
    [
      "gatewayNetwork.subnet: 192.168.50.0/24 overlaps intranet[1] 192.168.0.0/16, which pods reach by the cluster's own network",
      "routerNetwork.subnet: 192.168.51.0/24 overlaps intranet[1] 192.168.0.0/16, which pods reach by the cluster's own network",
    ],
  ],
  [
    'host bits',
    'subnet: 192.168.50.0/24',
    'subnet: 192.168.50.1/24',
    ['gatewayNetwork.subnet: "192.168.50.1/24" has host bits set: expected 192.168.50.0/24'],
  ],
  [
    'a service address outside the intranet',
    'address: 10.96.0.100',
    'address: 172.16.0.1',
    [
      "forwards[0].to.address: 172.16.0.1 is outside the intranet: expected an address that the cluster's own network reaches",
    ],
  ],
  [
    'a router network with less room than there can be routers',
    'subnet: 192.168.51.0/24',
    'subnet: 192.168.51.0/30',
    [
      'routerNetwork.subnet: 192.168.51.0/30 has 2 host addresses: expected at least 7, one for each of gatewayNetwork.routers',
    ],
  ],
  [
    'the same bridge twice',
    'bridge: vpn-router',
    'bridge: vpn-gateway',
    ['routerNetwork.bridge: vpn-gateway is gatewayNetwork.bridge too: expected another name'],
  ],
  [
    "a bridge with the name of the other's VXLAN link",
    'bridge: vpn-router',
    'bridge: vpn-gateway-x',
    ['routerNetwork.bridge: vpn-gateway-x is the VXLAN link of gatewayNetwork.bridge too: expected another name'],
  ],
  [
    'a bridge with the name of the underlay',
    'device: default-route',
    'device: vpn-router',
    ['routerNetwork.bridge: vpn-router is underlay.device too: expected another name'],
  ],
  [
    'a gateway network without room for VXLAN and beyond the tunnel, with the MTU that satisfies both',
    'underlay:\n  device: default-route\n  mtu: 1500',
    'underlay:\n  device: default-route\n  mtu: 1400',
    [
      'gatewayNetwork.mtu: 1420 is more than underlay.mtu 1400 less 50 bytes of VXLAN: expected at most 1350',
      'routerNetwork.mtu: 1450 is more than underlay.mtu 1400 less 50 bytes of VXLAN: expected at most 1350',
    ],
  ],
  [
    'one router where there is a router network',
    '192.168.50.241-192.168.50.247',
    '192.168.50.241-192.168.50.241',
    ['gatewayNetwork.routers: has 1 addresses: expected 2 to 7'],
  ],
  [
    'more gateways than can be served',
    'gateways: 192.168.50.248-192.168.50.254\n  mtu',
    'gateways: 192.168.52.1-192.168.52.254\n  mtu',
    [
      'gatewayNetwork.gateways: 192.168.52.1-192.168.52.254 is outside gatewayNetwork.subnet 192.168.50.0/24',
      'gatewayNetwork.gateways: has 254 addresses: expected at most 250',
    ],
  ],
  [
    'a weight of an address that is no gateway',
    'forwards:',
    'gateway: { weights: { 192.168.50.1: 50 } }\nforwards:',
    ['gateway.weights["192.168.50.1"]: is no address of gatewayNetwork.gateways 192.168.50.248-192.168.50.254'],
  ],
  [
    'a range that ends before it begins',
    '192.168.50.1-192.168.50.239',
    '192.168.50.239-192.168.50.1',
    [
      'gatewayNetwork.clients: "192.168.50.239-192.168.50.1" ends before it begins: expected 192.168.50.1-192.168.50.239',
    ],
  ],
  [
    'no range',
    '192.168.50.1-192.168.50.239',
    '192.168.50.0/25',
    ['gatewayNetwork.clients: "192.168.50.0/25": expected a range as FIRST-LAST, two IPv4 addresses'],
  ],
  [
    'an address with leading zeros, which some programs read as octal',
    'vip: 192.168.50.240',
    'vip: 192.168.050.240',
    ['gatewayNetwork.vip: "192.168.050.240": expected an IPv4 address'],
  ],
  [
    'a network with two prefix lengths',
    '[10.0.0.0/8]',
    '[10.0.0.0/8/9]',
    ['intranet[0]: "10.0.0.0/8/9": expected an IPv4 network as ADDRESS/PREFIX'],
  ],
  [
    'a prefix length that the kernel would print otherwise',
    '[10.0.0.0/8]',
    '[10.0.0.0/08]',
    ['intranet[0]: "10.0.0.0/08": expected an IPv4 network as ADDRESS/PREFIX'],
  ],
  [
    'a text of two lines, on one',
    'bridge: vpn-router',
    'bridge: "vpn\\nrouter"',
    ['routerNetwork.bridge: "vpn\\nrouter": expected a link name of 1 to 13 characters: a-z, 0-9, -'],
  ],
  [
    'an unknown key among alternatives',
    'peers: { dns: node-agent.vpn-gateway.svc }',
    'peers: { multicst: 239.192.50.50 }',
    ['underlay.peers.multicst: unknown key: expected multicast?'],
  ],
  [
    'both alternatives',
    'peers: { dns: node-agent.vpn-gateway.svc }',
    'peers: { multicast: 239.192.50.50, addresses: [172.30.0.1] }',
    [
      'underlay.peers: {"multicast":"239.192.50.50","addresses":["172.30.0.1"]}: expected a mapping with one of multicast, addresses, dns, kubernetes',
    ],
  ],
  [
    'an unknown key that is near to none',
    'tunnel:',
    'colour: red\ntunnel:',
    [
      'colour: unknown key: expected one of version, intranet, gatewayNetwork, routerNetwork, underlay, node, tunnel, gateway, router, forwards',
    ],
  ],
  ['not a number', 'mtu: 1450', 'mtu: .nan', ['routerNetwork.mtu: NaN: expected a number']],
  [
    'a value that contains itself',
    '[10.0.0.0/8]',
    '&a [*a]',
    ['intranet[0]: a list that contains itself: expected text'],
  ],
  [
    'the same VNI twice',
    'vni: 51',
    'vni: 50',
    ['routerNetwork.vxlan.vni: 50 is gatewayNetwork.vxlan.vni too: expected another number'],
  ],
  [
    'no URL',
    'tunnel:\n  mtu: 1420',
    'tunnel:\n  mtu: 1420\n  exitAddressUrl: ip.example.net',
    ['tunnel.exitAddressUrl: "ip.example.net": expected an http or https URL'],
  ],
  [
    'a URL of another kind',
    'tunnel:\n  mtu: 1420',
    'tunnel:\n  mtu: 1420\n  exitAddressUrl: ftp://ip.example.net/',
    ['tunnel.exitAddressUrl: "ftp://ip.example.net/": expected an http or https URL'],
  ],
  ['a wrong type', 'mtu: 1450', 'mtu: large', ['routerNetwork.mtu: "large": expected a number']],
  ['a port out of range', 'port: 45678', 'port: 70000', ['forwards[0].port: 70000: expected at most 65535']],
  [
    'no multicast address',
    'peers: { dns: node-agent.vpn-gateway.svc }',
    'peers: { multicast: 10.1.1.1 }',
    [
      'underlay.peers.multicast: 10.1.1.1 is no multicast address of IPv4, which underlay.ipFamily says: expected one of 224.0.0.0/4',
    ],
  ],
] as const)('%s', (_name, from, to, expected) => {
  expect(problems(changed(from, to))).toEqual(expected.map((line) => `system.yaml: ${line}`))
})

test('a gateway network whose gateways would be their own health addresses is refused', () => {
  const text = example.replaceAll('192.168.50.', '169.254.50.')
  expect(problems(text)).toEqual([
    'system.yaml: gatewayNetwork.subnet: 169.254.50.0/24 overlaps 169.254.0.0/16, link-local addresses: expected another network',
  ])
})

test('all problems are told at once', () => {
  const text = example
    .replace('vni: 51', 'vni: 50')
    .replace('mtu: 1450', 'mtu: 1460')
    .replace('vip: 192.168.50.240', 'vip: 10.0.0.1')
  expect(problems(text)).toHaveLength(3)
})

test('the same port twice is told with the one that has it', () => {
  const text = `${example}  - name: web\n    protocol: both\n    port: 45678\n    to: { address: 10.96.0.101 }\n`
  expect(problems(text)).toEqual([
    'system.yaml: forwards[1].name: "web" is forwards[0].name too: expected another name',
    'system.yaml: forwards[1].port: 45678 (both) is forwarded by forwards[0] already',
  ])
})

const lease = '    lease: { protocol: nat-pmp, lifetime: 60 }'

test("a leased port: the provider's end is Proton's unless said, and the internal port the service's", () => {
  const text = example.replace('    port: 45678', lease)
  const [forward] = parseSystem(text, 'system.yaml').forwards
  expect(forward).toMatchObject({ lease: { protocol: 'nat-pmp', gateway: '10.2.0.1', lifetime: 60 } })
  expect(forward).not.toHaveProperty('port')
  if (forward === undefined) throw new Error('no forward')
  expect(tunnelPort(forward)).toBe(8080)
  expect(
    tunnelPort({ ...forward, lease: { protocol: 'nat-pmp', gateway: '10.2.0.1', lifetime: 60, internalPort: 0 } }),
  ).toBe(0)
})

test.each([
  ['neither a port nor a lease', '', ['forwards[0].port: missing: expected one of port, lease']],
  [
    'both a port and a lease',
    `    port: 45678\n${lease}`,
    ['forwards[0].lease: port 45678 is given too: expected one of port, lease'],
  ],
  [
    'a lease by another protocol, with an unknown key',
    '    lease: { protocol: upnp, life: 60 }',
    [
      'forwards[0].lease.protocol: "upnp": expected nat-pmp',
      'forwards[0].lease.life: unknown key: expected one of protocol, gateway, lifetime, internalPort',
    ],
  ],
  [
    'a lease that is over at once',
    '    lease: { protocol: nat-pmp, lifetime: 1 }',
    ['forwards[0].lease.lifetime: 1: expected at least 10'],
  ],
])('%s', (_name, instead, expected) => {
  expect(problems(example.replace('    port: 45678', instead))).toEqual(expected.map((line) => `system.yaml: ${line}`))
})

test("a leased port does not tell the service's, and must not be mapped to one that is forwarded already", () => {
  const forward = (name: string, more: string) => `  - name: ${name}\n    protocol: both\n    ${more}\n`
  const to = (port: string) => `to: { address: 10.96.0.101${port} }`
  expect(problems(`${example}${forward('torrent', `lease: { protocol: nat-pmp }\n    ${to('')}`)}`)).toEqual([
    "system.yaml: forwards[1].to.port: missing: expected the service's port, which a leased port does not tell",
  ])
  expect(
    problems(`${example}${forward('torrent', `lease: { protocol: nat-pmp }\n    ${to(', port: 45678')}`)}`),
  ).toEqual(['system.yaml: forwards[1].lease.internalPort: 45678 (both) is forwarded by forwards[0] already'])
  const two = (gateway: string) =>
    forward('one', `lease: { protocol: nat-pmp, internalPort: 0 }\n    ${to(', port: 1')}`) +
    forward('two', `lease: { protocol: nat-pmp, internalPort: 0, gateway: ${gateway} }\n    ${to(', port: 2')}`)
  expect(problems(`${example}${two('10.2.0.1')}`)).toEqual([
    'system.yaml: forwards[2].lease.internalPort: 0 (both) is forwarded by forwards[1] already',
  ])
  expect(() => parseSystem(`${example}${two('10.3.0.1')}`, 'system.yaml')).not.toThrow()
})

test.each([
  [
    '192.168.50.20',
    '192.168.50.20 is on the gateway network 192.168.50.0/24: expected an address that the pod network reaches',
  ],
  ['[2001:db8::1]', '[2001:db8::1] is IPv6: expected a name or an IPv4 address'],
])('a hook at %s', (host, expected) => {
  expect(problems(`${example}gateway: { forwardsHook: 'http://${host}:8080/' }\n`)).toEqual([
    `system.yaml: gateway.forwardsHook: ${expected}`,
  ])
})

test('broken YAML names line and column, a key given twice is refused', () => {
  expect(problems('version: 1\n  - x: [')[0]).toMatch(/^system\.yaml: line 1, column \d+: /)
  expect(problems(`${example}\nversion: 1\n`)[0]).toMatch(/^system\.yaml: line \d+, column 1: Map keys must be unique/)
  expect(problems('')).toEqual(['system.yaml: null: expected a mapping'])
})

test('nesting without end is one line, not one for each level', () => {
  for (const text of ['['.repeat(20_000), `a: ${'{a: '.repeat(5000)}`]) {
    expect(problems(text)).toEqual([
      expect.stringMatching(/^system\.yaml: line 1, column \d+: lists or mappings within each other too many times$/),
    ])
  }
})

test.each([']', '!\n'])(
  'a file as long as can be that repeats %j takes no time that grows with its square',
  (piece) => {
    const processor = (length: number) => {
      const before = process.cpuUsage()
      expect(() => parseSystem(piece.repeat(length / piece.length), 'system.yaml')).toThrow(UserError)
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1000
    }
    const [short, long] = [16 * 1024, 256 * 1024 - 8] as const
    processor(short)
    // The least of three: other work slows down single ones. Sixteen times as long is 256 times as dear where it is quadratic.
    const least = (length: number) => Math.min(...Array.from({ length: 3 }, () => processor(length)))
    expect(least(long) / Math.max(least(short), 5)).toBeLessThan(64)
  },
)

test('a second document is refused', () => {
  expect(problems('version: 1\n---\nversion: 1\n')).toEqual([
    'system.yaml: line 2, column 1: a second document begins: expected one',
  ])
})

test('a file that is not there is one line', async () => {
  await expect(loadSystem('/no/such/file.yaml')).rejects.toThrow(
    new UserError('/no/such/file.yaml: no such file: expected the system file (YAML)'),
  )
})

/** What each problem must be, whatever the file held: one line that begins with the file. */
const oneLine = /^system\.yaml: [^\r\n]+$/
// Hundreds of files are parsed; five seconds are not enough where others use the processor too.
const patience = 60_000

test('whatever is in the file, the answer is a system or a UserError', { timeout: patience }, () => {
  const mutated = fc
    .tuple(
      fc.nat(example.length),
      fc.nat(40),
      fc.oneof(fc.string(), fc.constantFrom(': ', '- ', '&a ', '*a', '{', '!!js ', '1e999')),
    )
    .map(([at, cut, put]) => example.slice(0, at) + put + example.slice(at + cut))
  fc.assert(
    fc.property(mutated, (text) => {
      for (const problem of problems(text)) expect(problem).toMatch(oneLine)
    }),
    { numRuns: 500 },
  )
})

test('whatever stands in a field, the answer is a system or a UserError', { timeout: patience }, () => {
  const values = [...example.matchAll(/(?<=[:[] )[^\s{},[\]]+|(?<=\[)[^\s{},[\]]+/g)]
  expect(values.length).toBeGreaterThan(25)
  const address = fc.oneof(fc.ipV4(), fc.constantFrom('192.168.50.255', '1.2.3', '256.0.0.0', '0.0.0.0', '::1'))
  const number = fc.oneof(fc.integer(), fc.double()).map(String)
  const value = fc.oneof(
    address,
    number,
    fc
      .tuple(address, fc.oneof(fc.integer({ min: -1, max: 40 }).map(String), number, fc.string()))
      .map((pair) => pair.join('/')),
    fc.tuple(address, fc.oneof(address, number, fc.string())).map((pair) => pair.join('-')),
    fc.string().map((text) => JSON.stringify(text)),
    fc.constantFrom('[]', '{}', '&a [*a]', '&b { c: *b }', '.nan', '-.inf', '1e999', 'null', '"a\\nb"', '10.0.0.0/8/9'),
  )
  fc.assert(
    fc.property(fc.nat(values.length - 1), value, (index, put) => {
      const at = values[index]?.index ?? 0
      const text = example.slice(0, at) + put + example.slice(at + (values[index]?.[0].length ?? 0))
      for (const problem of problems(text)) expect(problem).toMatch(oneLine)
    }),
    { numRuns: 500, examples: values.map((_, index): [number, string] => [index, '10.0.0.0/8/9']) },
  )
})

test.each([
  ['a name', 'peers: { dns: node-agent.vpn-gateway.svc }', []],
  ['the nodes of the cluster', 'peers: { kubernetes: nodes }', []],
  [
    'IPv6 addresses, with the 70 bytes that IPv6 takes',
    'ipFamily: 6\n  peers: { addresses: ["2001:db8::1"] }',
    ['routerNetwork.mtu: 1450 is more than underlay.mtu 1500 less 70 bytes of VXLAN: expected at most 1430'],
  ],
  ['an IPv6 group', 'ipFamily: 6\n  peers: { multicast: "ff05::50" }', [expect.stringContaining('routerNetwork.mtu')]],
  [
    'addresses of the other version',
    'peers: { addresses: [10.0.0.1, "2001:db8::1"] }',
    ['underlay.peers.addresses[1]: 2001:db8::1 is not IPv4, which underlay.ipFamily says'],
  ],
  [
    'an address as nobody prints it',
    'peers: { addresses: ["2001:DB8:0::1"] }',
    ['underlay.peers.addresses[0]: "2001:DB8:0::1" is not how the kernel writes it: expected 2001:db8::1'],
  ],
  [
    'a unicast address as a group',
    'ipFamily: 6\n  peers: { multicast: "2001:db8::1" }',
    [
      expect.stringContaining('routerNetwork.mtu'),
      'underlay.peers.multicast: 2001:db8::1 is no multicast address of IPv6, which underlay.ipFamily says: expected one of ff00::/8',
    ],
  ],
  ['no name', 'peers: { dns: "two words" }', [expect.stringContaining('underlay.peers')]],
  ['no kind of object', 'peers: { kubernetes: pods }', [expect.stringContaining('underlay.peers')]],
] as const)('peers: %s', (_name, peers, expected) => {
  const found = problems(example.replace(/peers: .*/, peers)).map((line) => line.replace('system.yaml: ', ''))
  expect([...found].sort()).toEqual(expected)
})

describe('what a wrong file could do to the agent that reads it', () => {
  test('a name of sixty thousand blanks, and twenty thousand unknown keys, are refused in little time and few words', () => {
    const blanks = problems(`${example}\n? "${' '.repeat(60_000)}"\n: 1\n`)
    expect(blanks[0]?.length).toBeLessThanOrEqual(1000)
    const keys = Array.from({ length: 20_000 }, (_, index) => `k${index}: 1`).join('\n')
    expect(problems(`${example}\n${keys}\n`)).toHaveLength(101)
  })

  test('one that never ends, a pipe that nobody writes into, and a directory', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'system-'))
    onTestFinished(() => rm(directory, { recursive: true }))
    const pipe = join(directory, 'pipe')
    await promisify(execFile)('mkfifo', [pipe])
    await expect(loadSystem('/dev/zero')).rejects.toThrow(/has more than \d+ bytes/)
    await expect(loadSystem(pipe)).rejects.toThrow(UserError)
    await expect(loadSystem(directory)).rejects.toThrow(/is a directory/)
  })

  test.each(['1::ffff:1.2.3.4%eth0', 'fe80::1%eth0', '::ffff:1.2.3.4%0'])('an address with a link, %s', (address) => {
    const text = example.replace(/peers:.*(\n {4}.*)*/, `peers: { addresses: ["${address}"] }`)
    expect(problems(text)).toEqual([
      `system.yaml: underlay.peers.addresses[0]: "${address}": expected an IPv4 or IPv6 address`,
    ])
  })

  test.each(['- ', '[', '? ', 'u: 14', 'a: {'])('thousands of %j within each other', (piece) => {
    expect(problems(`version: 1\n  a${piece.repeat(5000)}\n`).length).toBeGreaterThan(0)
    expect(problems(piece.repeat(5000)).length).toBeGreaterThan(0)
  })

  test('no problem has more than one line, nor more than a thousand characters', () => {
    const { problems: told } = new UserError([`a\nb\u001b[2J\u2028c`, 'x'.repeat(5000)])
    expect(told).toEqual(['a b [2J c', `${'x'.repeat(999)}…`])
  })
})
