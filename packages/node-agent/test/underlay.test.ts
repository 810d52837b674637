import type { Route } from '@vpn-gateway/kernel'
import { expect, test } from 'vitest'
import { mtuProblems, networkMtus } from '../src/mtu.ts'
import { chooseUnderlay, peerProblems } from '../src/underlay.ts'
import { link, systemWith } from './fixtures.ts'

const own = new Set(['vpn-gateway', 'vpn-gateway-x'])
const address = (dev: string, text: string) => ({ dev, address: text, family: 4 as const })
const route = (dev: string, metric: number, more: Partial<Route> = {}): Route => ({
  family: 4,
  table: 254,
  type: 'unicast',
  dst: 'default',
  nexthops: [{ via: '10.0.0.254', dev }],
  metric,
  protocol: 3,
  ...more,
})
const view = {
  links: [link('lo'), link('eth0'), link('eth1', { mtu: 9000, carrier: false }), link('vpn-gateway')],
  addresses: [
    address('lo', '127.0.0.1/8'),
    address('eth0', '10.0.0.5/24'),
    address('eth0', '10.0.0.99/32'),
    address('eth1', '172.30.0.1/24'),
    address('vpn-gateway', '172.30.9.1/16'),
  ],
  routes: [
    route('eth1', 200),
    route('eth0', 100),
    route('eth1', 0, { table: 100 }),
    route('eth1', 0, { dst: '192.0.2.0/24' }),
  ],
}
const choose = (device: string, more: Partial<typeof view> = {}, peers: string[] = []) =>
  chooseUnderlay(systemWith({ device }), { ...view, ...more }, own, peers)

test('by the default route of the main table with the lowest metric', () => {
  expect(choose('default-route')).toEqual({ device: 'eth0', address: '10.0.0.5', mtu: 1500, carrier: true })
})

test('by name, with the real MTU and carrier', () => {
  expect(choose('eth1')).toEqual({ device: 'eth1', address: '172.30.0.1', mtu: 9000, carrier: false })
})

test('by a network that it has an address in; own links do not count', () => {
  expect(choose('172.30.0.0/16').device).toBe('eth1')
})

test('of several addresses, the one that the peers know', () => {
  expect(choose('eth0', {}, ['10.0.0.99', '10.0.0.7']).address).toBe('10.0.0.99')
})

test('else the one in use, whatever comes first now', () => {
  const vxlan = { id: 50, port: 4789, learning: true, local: '10.0.0.99' }
  expect(choose('eth0', { links: [...view.links, link('vpn-gateway-x', { vxlan })] }).address).toBe('10.0.0.99')
  expect(choose('eth0', { links: [...view.links, link('other', { vxlan })] }).address).toBe('10.0.0.5')
})

test.each([
  ['eth7', {}, /^underlay\.device: "eth7": no such link on this node: expected .* lo, eth0, eth1, vpn-gateway$/],
  ['eth1', { addresses: [] }, /^underlay\.device: eth1 has no IPv4 address$/],
  ['198.51.100.0/24', {}, /^underlay\.device: no device of this node has an address in 198\.51\.100\.0\/24$/],
  ['0.0.0.0/1', {}, /^underlay\.device: lo and eth0 have addresses in 0\.0\.0\.0\/1: expected one of these names$/],
  ['10.0.0.0/99', {}, /^underlay\.device: "10\.0\.0\.0\/99": expected an IPv4 network/],
  ['2001:db8::/32', {}, /^underlay\.device: "2001:db8::\/32": expected an IPv4 network/],
  ['default-route', { routes: [] }, /^underlay\.device: "default-route", but this node has no IPv4 default route$/],
])('%s: what is not there is named', (device, more, message) => {
  expect(() => choose(device, more)).toThrow(message)
})

test('a node that its peers do not know is named', () => {
  const underlay = choose('eth0')
  const listed = (addresses: string) => peerProblems(systemWith({ peers: `{ addresses: [${addresses}] }` }), underlay)
  expect(listed('10.0.0.5, 10.0.0.6')).toEqual([])
  expect(listed('10.0.0.6')).toEqual([
    "underlay.peers.addresses: 10.0.0.5, this node's address on eth0, is missing: expected every node's address",
  ])
  expect(peerProblems(systemWith(), underlay)).toEqual([])
})

test('over IPv6: its default route, a global address of its own, and 70 bytes', () => {
  const six = (dev: string, text: string) => ({ dev, address: text, family: 6 as const })
  const system = systemWith({ ipFamily: 6, peers: '{ multicast: "ff05::50" }', mtu: 1400, routerMtu: 1430 })
  const read = {
    links: view.links,
    addresses: [...view.addresses, six('eth0', 'fe80::1/64'), six('eth0', '2001:db8::5/64'), six('lo', '::1/128')],
    routes: [...view.routes, route('eth0', 100, { family: 6 })],
  }
  expect(chooseUnderlay(system, read, own, [])).toMatchObject({ device: 'eth0', address: '2001:db8::5' })
  expect(() => chooseUnderlay(system, { ...read, addresses: view.addresses }, own, [])).toThrow(
    'eth0 has no IPv6 address',
  )
  expect(networkMtus(system, { mtu: 1500 }).map(({ best }) => best)).toEqual([1420, 1430])
  expect(mtuProblems(system, { device: 'eth0', mtu: 1490 })).toEqual([
    'routerNetwork.mtu: 1430 is more than the 1490 of eth0 on this node less 70 bytes of VXLAN: expected at most 1420',
  ])
})
