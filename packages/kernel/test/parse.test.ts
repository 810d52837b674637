/** Parsers against recorded output of the real tools (iproute2 6.1, iptables 1.8.9, nftables 1.0.6, wg 1.0, kernel 6.1). */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  classifyFailure,
  OutputError,
  parseAddresses,
  parseConntrackStats,
  parseFdb,
  parseIptablesSave,
  parseIpvs,
  parseIpvsConnection,
  parseIpvsStats,
  parseLinks,
  parseNetwork,
  parseNftBody,
  parseNftCounters,
  parseRoutes,
  parseRuleCounters,
  parseRules,
  parseWireguardDump,
  readIpvsConnections,
} from '@vpn-gateway/kernel'

const recorded = (name: string) => readFileSync(new URL(`recorded/${name}`, import.meta.url), 'utf8')

test('links carry what identifies a VXLAN device, its master and its owner', () => {
  const links = parseLinks(recorded('link.json'))
  expect(links.map((link) => link.name)).toEqual(['lo', 'br0', 'u1', 'u0', 'x0', 'x1'])
  expect(links[1]).toMatchObject({ kind: 'bridge', mac: '02:00:00:00:00:06', alias: 'vpn-gateway', up: true })
  expect(links[4]).toMatchObject({
    kind: 'vxlan',
    mtu: 1450,
    master: 'br0',
    vxlan: {
      id: 50,
      port: 4789,
      underlay: 'u0',
      local: '172.30.0.1',
      group: '239.192.50.50',
      learning: true,
      udpChecksum: false,
    },
  })
  expect(links[5]).toMatchObject({ up: false, vxlan: { id: 51, learning: false } })
  expect(links[5]?.vxlan).not.toHaveProperty('group')
})

test('addresses with a limited life say how long', () => {
  const addresses = parseAddresses(recorded('address.json')).filter((address) => address.family === 4)
  expect(addresses).toEqual([
    { dev: 'lo', address: '127.0.0.1/8', family: 4 },
    { dev: 'br0', address: '10.0.0.1/24', family: 4 },
    { dev: 'br0', address: '192.168.50.240/24', family: 4, validLifetime: expect.any(Number) },
  ])
})

test('routes of every type keep table, protocol, metric and next hops', () => {
  const own = parseRoutes(recorded('route4.json'), 4).filter((route) => route.protocol > 100)
  expect(own).toEqual(
    [
      { family: 4, table: 152, type: 'local', dst: 'default', nexthops: [{ dev: 'lo' }], protocol: 152 },
      {
        family: 4,
        table: 153,
        type: 'unicast',
        dst: 'default',
        nexthops: [
          { via: '10.0.0.2', dev: 'br0', weight: 3 },
          { via: '10.0.0.3', dev: 'br0', weight: 1 },
        ],
        protocol: 152,
      },
      { family: 4, table: 151, type: 'unreachable', dst: 'default', nexthops: [], metric: 4278198272, protocol: 151 },
      {
        family: 4,
        table: 254,
        type: 'unicast',
        dst: '192.168.50.0/25',
        nexthops: [{ via: '10.0.0.240', dev: 'br0' }],
        protocol: 151,
      },
      {
        family: 4,
        table: 254,
        type: 'unicast',
        dst: '203.0.113.10/32',
        nexthops: [{ dev: 'br0' }],
        protocol: 151,
        mtu: 1300,
      },
    ].toSorted(
      (a, b) =>
        own.findIndex((r) => r.dst === a.dst && r.table === a.table) -
        own.findIndex((r) => r.dst === b.dst && r.table === b.table),
    ),
  )
  expect(parseRoutes(recorded('route6.json'), 6)).toContainEqual({
    family: 6,
    table: 254,
    type: 'unreachable',
    dst: 'default',
    nexthops: [],
    metric: 777,
    protocol: 152,
  })
})

test('rules keep mark and mask, a mask of all ones where none is printed', () => {
  const own = parseRules(recorded('rule4.json'), 4).filter((rule) => rule.protocol > 100)
  expect(own).toEqual([
    { family: 4, priority: 1500, fwmark: { mark: 2, mask: 2 }, table: 151, protocol: 151 },
    { family: 4, priority: 1501, from: '192.168.50.0/24', iif: 'net1', ipProtocol: 'tcp', table: 151, protocol: 151 },
    { family: 4, priority: 1600, fwmark: { mark: 1, mask: 0xffffffff }, table: 152, protocol: 152 },
  ])
})

test('forwarding entries name their remote VTEP', () => {
  const floods = parseFdb(recorded('fdb.json'), 'x1').filter((entry) => entry.mac === '00:00:00:00:00:00')
  expect(floods.map((entry) => entry.dst)).toEqual(['172.30.0.2', '172.30.0.3'])
})

test('an iptables table keeps policies, own chains and rules in order', () => {
  expect(parseIptablesSave(recorded('filter.save') + recorded('nat-empty.save'), 4)[0]).toEqual({
    family: 4,
    table: 'filter',
    policies: { INPUT: 'ACCEPT', FORWARD: 'DROP', OUTPUT: 'ACCEPT' },
    chains: {
      INPUT: [],
      FORWARD: ['-j VG-FORWARD'],
      OUTPUT: [],
      'VG-FORWARD': [
        '-s 192.168.50.0/24 -i net1 -o wg0 -j ACCEPT',
        '-i wg0 -o net1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ],
    },
  })
  expect(
    parseIptablesSave(recorded('filter.save') + recorded('nat-empty.save'), 4).map((table) => table.table),
  ).toEqual(['filter', 'nat'])
  expect(parseIptablesSave('', 4)).toEqual([])
})

test('rule counters belong to chain and rule', () => {
  expect(parseRuleCounters('[3:180] -A VG-FORWARD -i net1 -j ACCEPT\n')).toEqual([
    { chain: 'VG-FORWARD', rule: '-i net1 -j ACCEPT', packets: 3, bytes: 180 },
  ])
  expect(parseRuleCounters(recorded('filter-counters.save'))).toHaveLength(3)
})

test('the body of an nft table is what stands between its braces', () => {
  expect(parseNftBody(recorded('nft.table')).split('\n')).toEqual([
    '\tchain late {',
    '\t\ttype filter hook input priority 150; policy accept;',
    '\t\tmeta l4proto tcp iifname "net1" counter reject with tcp reset',
    '\t}',
  ])
  expect(parseNftBody('')).toBe('')
})

test('IPVS services, marks and weights', () => {
  const [tcp, fwm] = parseIpvs(recorded('ip_vs'))
  expect(tcp).toMatchObject({ protocol: 'TCP', address: '127.0.0.1', port: 80, scheduler: 'rr' })
  expect(tcp?.realServers).toEqual([
    { address: '127.0.0.1', port: 8080, forwarding: 'Masq', weight: 1, activeConnections: 0, inactiveConnections: 1 },
  ])
  expect(fwm).toMatchObject({ protocol: 'FWM', fwmark: 1, scheduler: 'wlc' })
  expect(fwm?.realServers.map((server) => [server.address, server.weight, server.activeConnections])).toEqual([
    ['192.168.50.248', 100, 10],
    ['192.168.50.250', 0, 3],
  ])
})

test('IPVS counters and connections are hexadecimal', () => {
  expect(parseIpvsStats(recorded('ip_vs_stats'))).toMatchObject({
    connections: 30,
    incomingPackets: 0x2a3f,
    incomingBytes: 0x1b2c3d,
    connectionsPerSecond: 3,
    incomingBytesPerSecond: 0xa00,
  })
  const connections = recorded('ip_vs_conn')
    .split('\n')
    .map(parseIpvsConnection)
    .filter((item) => item !== undefined)
  expect(connections).toHaveLength(2)
  expect(connections[1]).toEqual({
    protocol: 'TCP',
    client: '192.168.50.10',
    clientPort: 57242,
    destination: '203.0.113.10',
    destinationPort: 9000,
    realServer: '192.168.50.248',
    realServerPort: 0,
    state: 'ESTABLISHED',
    expires: 897,
  })
})

test("one client's connections are streamed from the table", async () => {
  const path = new URL('recorded/ip_vs_conn', import.meta.url).pathname
  const of = async (client?: string) => {
    const found: string[] = []
    for await (const { realServer } of readIpvsConnections({ path, ...(client === undefined ? {} : { client }) }))
      found.push(realServer)
    return found
  }
  expect(await of('192.168.50.10')).toEqual(['192.168.50.248'])
  expect(await of('192.168.50.1')).toEqual([])
  expect(await of()).toHaveLength(2)
})

test("connection tracking's counters are added up over the processors", () => {
  expect(parseConntrackStats(recorded('nf_conntrack_stat'))).toEqual({
    found: 0x1f,
    invalid: 3,
    ignore: 0x2f,
    insert: 0,
    insertFailed: 0x11,
    drop: 0x12,
    earlyDrop: 2,
    searchRestart: 5,
  })
  expect(parseConntrackStats('')).toBeUndefined()
})

test('nftables counters belong to the rule around them', () => {
  const text = `table ip t {
\tchain late {
\t\tiifname "net1" meta l4proto tcp counter packets 3 bytes 180 reject with tcp reset
\t\tiifname "net1" counter packets 0 bytes 0 drop
\t}
}`
  expect(parseNftCounters(text)).toEqual([
    { rule: 'iifname "net1" meta l4proto tcp counter reject with tcp reset', packets: 3, bytes: 180 },
    { rule: 'iifname "net1" counter drop', packets: 0, bytes: 0 },
  ])
})

test('one call of ip lists several kinds of objects, told apart by their keys', () => {
  const text = ['link.json', 'address.json', 'route4.json', 'rule4.json'].map(recorded).join('')
  const network = parseNetwork(text, 4)
  expect(network.links).toEqual(parseLinks(recorded('link.json')))
  expect(network.addresses).toEqual(parseAddresses(recorded('address.json')))
  expect(network.routes).toEqual(parseRoutes(recorded('route4.json'), 4))
  expect(network.rules).toEqual(parseRules(recorded('rule4.json'), 4))
})

test('a WireGuard dump yields peers and never the private key', () => {
  const text = recorded('wg.dump')
  const device = parseWireguardDump(text, 'wg0')
  expect(device).toMatchObject({
    publicKey: 'oZFSxbjvZa68/toc4sxRg2qIqe0TxGRbrXo+flJjQiI=',
    listenPort: 51820,
    fwmark: 5,
  })
  expect(device.peers[0]).toMatchObject({
    endpoint: '198.51.100.21:51820',
    allowedIps: ['0.0.0.0/0', '::/0'],
    latestHandshake: 1763853600,
    received: 1204,
    sent: 5312,
    persistentKeepalive: 25,
  })
  expect(device.peers[1]).toEqual({
    publicKey: '9dIbjwy3/C1VjSykrW5bT5G/ojOL5w2SNDHOeezx9xc=',
    allowedIps: [],
    latestHandshake: 0,
    received: 0,
    sent: 0,
  })
  expect(JSON.stringify(device)).not.toContain(text.slice(0, 43))
})

test.each([
  ['RTNETLINK answers: File exists', 'already-exists'],
  ['Cannot find device "wg0"', 'not-found'],
  ['Unable to access interface: No such device', 'not-found'],
  ['RTNETLINK answers: Operation not permitted', 'not-permitted'],
  ['Error: Unknown device type.', 'unsupported'],
  ['something else', 'failed'],
])('"%s" is %s', (stderr, kind) => {
  expect(classifyFailure(stderr)).toBe(kind)
})

test("somebody's chain may have a name that objects inherit", () => {
  const text =
    '*filter\n:constructor - [0:0]\n:__proto__ - [0:0]\n-A constructor -j DROP\n-A __proto__ -j DROP\n-A toString -j DROP\n'
  const [table] = parseIptablesSave(text, 4)
  expect(Object.entries(table?.chains ?? {})).toEqual([
    ['constructor', ['-j DROP']],
    ['__proto__', ['-j DROP']],
    ['toString', ['-j DROP']],
  ])
})

test.each(['not JSON', '[null]', '[{"ifname":"eth0"}]', '["x"]'])('%s in place of links is named', (text) => {
  expect(() => parseLinks(text)).toThrow(OutputError)
  expect(() => parseLinks(text)).toThrow(/^ip link: printed what is not understood/)
})
