/** Properties of every plan: it converges, it touches nothing foreign, and it never passes through an open state. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DesiredState, Link, ObservedState, Owner } from '@vpn-gateway/kernel'
import { conflicts, describeStep, plan, type Step } from '@vpn-gateway/reconcile'
import { applyToModel, emptyState } from './model.ts'

const owner: Owner = {
  alias: 'vpn-gateway',
  protocol: 151,
  rulePriorities: [1500, 1599],
  chainPrefix: 'VG-',
  nftTables: ['vpn_gateway_a', 'vpn_gateway_b'],
  fdbDevices: ['x0', 'x1'],
}

const bridge = fc.constantFrom('br0', 'br1')
const dev = fc.constantFrom('br0', 'br1', 'x0', 'x1', 'wg0')
const mtu = fc.constantFrom(1280, 1420, 1450)
const cidr = fc.constantFrom('default', '192.168.50.0/25', '192.168.50.128/26', '10.9.0.2/32')
const nexthop = fc.record({ dev, via: fc.constantFrom('10.0.0.1', '10.0.0.2') })
const vxlan = fc.record({ id: fc.constantFrom(50, 51), port: fc.constant(4789), learning: fc.boolean() })
const rules = fc.array(fc.constantFrom('-i net1 -o wg0 -j ACCEPT', '-j DROP', '-o wg0 -j ACCEPT'), { maxLength: 3 })

const link = fc.oneof(
  fc.record({ name: bridge, kind: fc.constant('bridge' as const), mtu, up: fc.boolean() }),
  fc.record({ name: fc.constantFrom('x0', 'x1'), kind: fc.constant('vxlan' as const), mtu, up: fc.boolean(), vxlan }),
  fc.record({ name: fc.constant('wg0'), kind: fc.constant('wireguard' as const), mtu, up: fc.boolean() }),
)
const links = fc.uniqueArray(link, { selector: (item) => item.name, maxLength: 5 })

const route = fc.record({
  family: fc.constant(4 as const),
  table: fc.constantFrom(151, 254),
  type: fc.constant('unicast' as const),
  dst: cidr,
  nexthops: fc.uniqueArray(nexthop, { selector: (hop) => hop.dev + hop.via, minLength: 1, maxLength: 2 }),
})
const rule = fc.record({
  family: fc.constant(4 as const),
  priority: fc.integer({ min: 1500, max: 1502 }),
  table: fc.constantFrom(151, 153),
  iif: fc.constantFrom('net1', 'eth0'),
})
const routeKey = (item: { table: number; dst: string }) => `${item.table} ${item.dst}`
const fdbEntry = fc.record({
  dev: fc.constantFrom('x0', 'x1'),
  mac: fc.constant('00:00:00:00:00:00'),
  dst: fc.constantFrom('172.30.0.2', '172.30.0.3', '172.30.0.4'),
  state: fc.constant('permanent'),
})
const chains = fc.dictionary(fc.constantFrom('VG-FORWARD', 'VG-INPUT', 'VG-OLD'), rules)

const desiredState: fc.Arbitrary<DesiredState> = fc
  .record({
    links,
    routes: fc.uniqueArray(route, { selector: routeKey, maxLength: 4 }),
    rules: fc.uniqueArray(rule, { selector: (item) => JSON.stringify(item), maxLength: 3 }),
    fdb: fc.uniqueArray(fdbEntry, { selector: (item) => item.dev + item.dst, maxLength: 4 }),
    sysctls: fc.dictionary(fc.constantFrom('net.ipv4.ip_forward', 'net.ipv4.vs.conntrack'), fc.constant('1')),
    chains,
    nft: fc.uniqueArray(
      fc.record({
        family: fc.constant('inet' as const),
        name: fc.constantFrom('vpn_gateway_a', 'vpn_gateway_b'),
        body: fc.constantFrom('a', 'b'),
      }),
      { selector: (table) => table.name },
    ),
  })
  .map(({ chains: own, ...rest }) => ({
    ...rest,
    addresses: rest.links
      .filter((item) => item.kind !== 'vxlan')
      .map((item) => ({ dev: item.name, address: '10.0.0.9/24', family: 4 as const })),
    links: rest.links.map((item) =>
      item.kind === 'vxlan' && rest.links.some((other) => other.name === 'br0') ? { ...item, master: 'br0' } : item,
    ),
    routes: rest.routes.filter((item) => item.nexthops.every((hop) => rest.links.some((one) => one.name === hop.dev))),
    fdb: rest.fdb.filter((item) => rest.links.some((one) => one.name === item.dev)),
    iptables: [
      {
        family: 4 as const,
        table: 'filter' as const,
        policies: { FORWARD: 'DROP' as const },
        chains: own,
        jumps: 'VG-FORWARD' in own ? { FORWARD: 'VG-FORWARD' } : {},
      },
    ],
  }))

/** What an earlier version or somebody else left: own and foreign objects of every kind. */
const observedState: fc.Arbitrary<ObservedState> = fc
  .record({
    links: fc.uniqueArray(link, { selector: (item) => item.name, maxLength: 4 }),
    alias: fc.constantFrom('vpn-gateway', 'vpn-gateway', 'somebody'),
    routes: fc.uniqueArray(route, { selector: routeKey, maxLength: 3 }),
    rules: fc.uniqueArray(rule, { selector: (item) => JSON.stringify(item), maxLength: 2 }),
    protocol: fc.constantFrom(151, 3),
    fdb: fc.uniqueArray(fdbEntry, { selector: (item) => item.dev + item.dst, maxLength: 3 }),
    chains,
    forward: fc.array(fc.constantFrom('-j VG-FORWARD', '-j VG-OLD', '-i docker0 -j ACCEPT'), { maxLength: 3 }),
    nft: fc.uniqueArray(
      fc.record({
        family: fc.constant('inet' as const),
        name: fc.constantFrom('vpn_gateway_a', 'other'),
        body: fc.constantFrom('a', 'b'),
      }),
      { selector: (table) => table.name },
    ),
  })
  .map((raw) => {
    const held: Link[] = [
      ...raw.links.map((item) => ({ ...item, carrier: false, alias: raw.alias })),
      { name: 'eth0', kind: '', mtu: 1500, up: true, carrier: true },
    ]
    const has = (name: string) => held.some((item) => item.name === name)
    return {
      ...emptyState(),
      links: held,
      addresses: [{ dev: 'eth0', address: '10.42.0.9/16', family: 4 as const }],
      routes: raw.routes
        .filter((item) => item.nexthops.every((hop) => has(hop.dev)))
        .map((item) => ({ ...item, protocol: raw.protocol })),
      rules: raw.rules.map((item) => ({ ...item, protocol: raw.protocol })),
      fdb: raw.fdb.filter((item) => has(item.dev)),
      iptables: [
        {
          family: 4 as const,
          table: 'filter',
          policies: { FORWARD: 'ACCEPT' },
          chains: { FORWARD: raw.forward, ...raw.chains },
        },
      ],
      nft: raw.nft,
    }
  })

const run = (state: ObservedState, steps: readonly Step[]) => steps.reduce(applyToModel, state)

// Thousands of runs each: longer than a test usually takes where the machine is busy.
describe('every plan', { timeout: 60_000 }, () => {
  test('converges: after its steps nothing is left to do', () => {
    fc.assert(
      fc.property(desiredState, observedState, (desired, observed) => {
        const after = run(observed, plan(desired, observed, owner))
        expect(plan(desired, after, owner).map(describeStep)).toEqual([])
      }),
      { numRuns: 2000 },
    )
  })

  test('leaves what is not its own', () => {
    fc.assert(
      fc.property(desiredState, observedState, (desired, observed) => {
        const after = run(observed, plan(desired, observed, owner))
        const foreign = (item: { alias?: string }) => item.alias !== owner.alias
        expect(after.links.filter(foreign)).toEqual(observed.links.filter(foreign))
        expect(after.addresses).toContainEqual({ dev: 'eth0', address: '10.42.0.9/16', family: 4 })
        expect(after.nft.filter((table) => table.name === 'other')).toEqual(
          observed.nft.filter((table) => table.name === 'other'),
        )
        const others = (state: ObservedState) =>
          state.iptables[0]?.chains['FORWARD']?.filter((text) => !text.startsWith('-j VG-'))
        expect(others(after)).toEqual(others(observed))
        const foreignRules = observed.rules.filter((item) => item.protocol !== owner.protocol)
        expect(after.rules).toEqual(expect.arrayContaining(foreignRules))
      }),
      { numRuns: 1000 },
    )
  })

  test('sets filters before anything else and switches forwarding on after every addition', () => {
    fc.assert(
      fc.property(desiredState, observedState, (desired, observed) => {
        const steps = plan(desired, observed, owner)
        const filters = steps.map(
          (step) => step.object === 'iptables' || (step.object === 'nft' && step.action === 'replace'),
        )
        expect(filters.lastIndexOf(true)).toBe(filters.filter(Boolean).length - 1)
        const forwarding = steps.findIndex((step) => step.object === 'sysctl' && step.key.endsWith('ip_forward'))
        const additions = steps.findLastIndex((step) =>
          ['add', 'set', 'replace', 'sync', 'append'].includes(step.action),
        )
        expect([-1, additions]).toContain(forwarding)
      }),
      { numRuns: 1000 },
    )
  })
})

test('a foreign link is named, and only what hangs on it is left out', () => {
  const observed: ObservedState = {
    ...emptyState(),
    links: [{ name: 'br0', kind: 'bridge', mtu: 1500, up: true, carrier: true }],
  }
  const desired: DesiredState = {
    links: [
      { name: 'br0', kind: 'bridge', up: true },
      { name: 'br1', kind: 'bridge', up: true },
    ],
    addresses: [{ dev: 'br0', address: '10.0.0.1/24', family: 4 }],
    sysctls: { 'net.ipv6.conf.br0.disable_ipv6': '1', 'net.ipv6.conf.br1.disable_ipv6': '1' },
  }
  expect(conflicts(desired, observed, owner)).toEqual([
    'link br0 exists and is not ours (its alias is not "vpn-gateway"): left alone',
  ])
  expect(plan(desired, observed, owner).map(describeStep)).toEqual([
    'link add br1 type bridge',
    'link set br1 up true',
    'sysctl set net.ipv6.conf.br1.disable_ipv6=1',
  ])
})

test('a link to be taken over is marked and set in place; not one of another kind, nor one that bears a mark', () => {
  const held: Link = { name: 'br0', kind: 'bridge', mtu: 1500, up: true, carrier: true }
  const desired: DesiredState = {
    links: [{ name: 'br0', kind: 'bridge', takeOver: true, mtu: 1420, up: true }],
    sysctls: { 'net.ipv4.conf.br0.forwarding': '0' },
  }
  const planned = (present: Link) => plan(desired, { ...emptyState(), links: [present] }, owner).map(describeStep)
  expect(planned(held)).toEqual([
    'link set br0 alias vpn-gateway mtu 1420',
    'sysctl set net.ipv4.conf.br0.forwarding=0',
  ])
  const after = run({ ...emptyState(), links: [held] }, plan(desired, { ...emptyState(), links: [held] }, owner))
  expect(plan(desired, after, owner)).toEqual([])
  for (const other of [
    { ...held, alias: 'somebody' },
    { ...held, kind: 'dummy' },
  ]) {
    expect(planned(other)).toEqual([])
    expect(conflicts(desired, { ...emptyState(), links: [other] }, owner)).toHaveLength(1)
  }
})

test('what is in the way until the filters stand goes right after them, whoever set it; nothing else of others does', () => {
  const hop = { via: '192.168.50.240', dev: 'net1' }
  const through = (dst: string, protocol: number, other: object = hop) => ({
    family: 4 as const,
    table: 254,
    type: 'unicast' as const,
    dst,
    protocol,
    nexthops: [{ ...hop, ...other }],
  })
  const observed: ObservedState = {
    ...emptyState(),
    routes: [
      through('128.0.0.0/1', 3),
      through('0.0.0.0/1', 3),
      through('198.51.100.0/24', 3, { via: '192.168.50.1' }),
      through('203.0.113.0/24', 3, { dev: 'eth0' }),
      through('192.168.50.0/25', owner.protocol),
    ],
  }
  const wanted: DesiredState = {
    iptables: [{ family: 4, table: 'filter', policies: { FORWARD: 'DROP' }, chains: {}, jumps: {} }],
    links: [{ name: 'wg0', kind: 'wireguard', up: true }],
    routes: [through('192.168.50.0/25', owner.protocol)],
  }
  const steps = (holder: Owner) => plan(wanted, observed, holder).map(describeStep)
  const [filter, ...others] = steps(owner)
  expect(steps({ ...owner, untilFiltered: hop })).toEqual([
    filter,
    'route del 128.0.0.0/1 table 254',
    'route del 0.0.0.0/1 table 254',
    ...others,
  ])
  expect(filter).toContain('IPv4 filter')
})

test('a changed VXLAN identity is a deletion and an addition, a changed MTU is not', () => {
  const spec = {
    name: 'x0',
    kind: 'vxlan' as const,
    mtu: 1450,
    up: true,
    vxlan: { id: 50, port: 4789, learning: true },
  }
  const held: Link = { ...spec, carrier: true, alias: owner.alias }
  const observed = { ...emptyState(), links: [held] }
  const steps = (wanted: typeof spec) => plan({ links: [wanted] }, observed, owner).map(describeStep)
  expect(steps(spec)).toEqual([])
  expect(steps({ ...spec, mtu: 1400 })).toEqual(['link set x0 mtu 1400'])
  expect(steps({ ...spec, vxlan: { ...spec.vxlan, id: 51 } })).toEqual([
    'link del x0',
    'link add x0 type vxlan',
    'link set x0 up true',
  ])
})

test('a link that is made anew gets its parameters again: they went with the old one', () => {
  const spec = { name: 'x0', kind: 'vxlan' as const, up: true, vxlan: { id: 50, port: 4789, learning: true } }
  const sysctls = { 'net.ipv6.conf.x0.disable_ipv6': '1', 'net.ipv6.conf.x01.disable_ipv6': '1' }
  const held: Link = { ...spec, mtu: 1450, carrier: true, alias: owner.alias, vxlan: { ...spec.vxlan, id: 51 } }
  const steps = plan({ links: [spec], sysctls }, { ...emptyState(), links: [held], sysctls }, owner)
  expect(steps.map(describeStep)).toEqual([
    'link del x0',
    'link add x0 type vxlan',
    'link set x0 up true',
    'sysctl set net.ipv6.conf.x0.disable_ipv6=1',
  ])
})

test('keys never appear in the description of a step', () => {
  const privateKey = 'YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='
  const steps = plan({ wireguard: [{ name: 'wg0', privateKey, publicKey: 'p', peers: [] }] }, emptyState(), owner)
  expect(steps.map(describeStep)).toEqual(['wireguard sync wg0'])
})

test('a device whose configuration names no port keeps the one that it has', () => {
  const spec = { name: 'wg0', privateKey: 'k', publicKey: 'p', peers: [] }
  const held = { name: 'wg0', publicKey: 'of another key', listenPort: 40_001, peers: [] }
  const planned = (desired: typeof spec & { listenPort?: number }, listenPort: number) =>
    plan({ wireguard: [desired] }, { ...emptyState(), wireguard: [{ ...held, listenPort }] }, owner)
  expect(planned(spec, 40_001)).toMatchObject([{ device: { listenPort: 40_001 } }])
  expect(planned({ ...spec, listenPort: 51_820 }, 40_001)).toMatchObject([{ device: { listenPort: 51_820 } }])
  // Not bound yet.
  expect(planned(spec, 0)).toMatchObject([{ device: spec }])
})

describe('a link that a daemon makes', () => {
  const desired: DesiredState = {
    links: [{ name: 'wg0', kind: 'tun', mtu: 1380, up: true }],
    addresses: [{ dev: 'wg0', address: '10.9.0.2/32', family: 4 }],
    sysctls: { 'net/ipv4/conf/wg0/rp_filter': '0', 'net/ipv4/ip_forward': '1' },
  }

  test('is waited for: nothing is made of it, the rest goes on', () => {
    const steps = plan(desired, emptyState(), owner)
    expect(steps.map(describeStep)).toEqual([expect.stringContaining('ip_forward')])
    expect(conflicts(desired, emptyState(), owner)).toEqual(['link wg0 is not there yet: its daemon makes it'])
  })

  test('is set once it is there and marked', () => {
    const made: Link = { name: 'wg0', kind: 'tun', mtu: 1420, up: false, carrier: false, alias: 'vpn-gateway' }
    const observed: ObservedState = { ...emptyState(), links: [made] }
    expect(conflicts(desired, observed, owner)).toEqual([])
    expect(plan(desired, observed, owner)[0]).toMatchObject({
      object: 'link',
      action: 'set',
      change: { mtu: 1380, up: true },
    })
  })
})
