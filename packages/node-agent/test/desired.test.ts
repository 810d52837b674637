import { plan } from '@vpn-gateway/reconcile'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Link } from '@vpn-gateway/kernel'
import { desired, macOf, ownerOf, removed } from '../src/desired.ts'
import type { World } from '../src/world.ts'
import { link, systemWith, world } from './fixtures.ts'

const vxlanOf = (state: ReturnType<typeof desired>, name: string) => state.links?.find((item) => item.name === name)

describe('links', () => {
  test('a bridge and a VXLAN link for each network, the link a port of the bridge', () => {
    const { links } = desired(systemWith(), world())
    expect(links?.map(({ name, kind, mtu, master, up }) => ({ name, kind, mtu, master, up }))).toEqual([
      { name: 'vpn-gateway', kind: 'bridge', mtu: 1420, master: undefined, up: true },
      { name: 'vpn-router', kind: 'bridge', mtu: 1450, master: undefined, up: true },
      { name: 'vpn-gateway-x', kind: 'vxlan', mtu: 1420, master: 'vpn-gateway', up: true },
      { name: 'vpn-router-x', kind: 'vxlan', mtu: 1450, master: 'vpn-router', up: true },
    ])
  })

  test('a VXLAN link sends from the underlay, to the group, with a checksum, and learns', () => {
    expect(vxlanOf(desired(systemWith(), world()), 'vpn-gateway-x')?.vxlan).toEqual({
      id: 50,
      port: 4789,
      underlay: 'eth0',
      local: '172.30.0.1',
      group: '239.192.50.50',
      learning: true,
      udpChecksum: true,
    })
  })

  test('a bridge of somebody else gets no port, no rule and no parameter; the other network is complete', () => {
    const state = desired(systemWith(), world({ links: [link('vpn-gateway', { kind: 'bridge' })] }))
    expect(state.links?.map(({ name }) => name)).toEqual(['vpn-gateway', 'vpn-router', 'vpn-router-x'])
    expect(JSON.stringify([state.iptables, state.sysctls])).not.toContain('vpn-gateway')
  })

  test('one that bears the alias is the own one', () => {
    const own = link('vpn-gateway', { kind: 'bridge', alias: 'vpn-gateway' })
    expect(desired(systemWith(), world({ links: [own] }))).toEqual(desired(systemWith(), world()))
  })
})

describe("a bridge that CNI's plugin made for pods that came first", () => {
  const made = link('vpn-gateway', { kind: 'bridge', mtu: 1420 })
  const port = link('veth1', { kind: 'veth', mtu: 1420, master: 'vpn-gateway' })
  const planned = (links: Link[], more: Partial<World> = {}) => {
    const state = desired(systemWith(), world({ links: [link('eth0'), ...links], ...more }))
    return state.links?.map(({ name, takeOver = false }) => `${name}${takeOver ? ' taken over' : ''}`)
  }

  test('is taken over and gets its VXLAN link', () => {
    expect(planned([made, port])).toEqual(['vpn-gateway taken over', 'vpn-router', 'vpn-gateway-x', 'vpn-router-x'])
  })

  test.each<[string, Link[], Partial<World>]>([
    ['with another MTU', [{ ...made, mtu: 1500 }, port], {}],
    ['with an address', [made, port], { addressed: ['eth0', 'vpn-gateway'] }],
    ['without a port', [made], {}],
    ["with a port that is no pod's", [made, port, link('eth1', { master: 'vpn-gateway' })], {}],
    ['with a mark of its own', [{ ...made, alias: 'somebody' }, port], {}],
    ['within another bridge', [{ ...made, master: 'br0' }, port], {}],
    ['of another kind', [{ ...made, kind: 'dummy' }, port], {}],
  ])('is not meant by one %s', (_name, links, more) => {
    expect(planned(links, more)).toEqual(['vpn-gateway', 'vpn-router', 'vpn-router-x'])
  })
})

describe('MAC', () => {
  const node = fc.string({ minLength: 1 })
  const vni = fc.integer({ min: 1, max: 16_777_215 })

  test('is unicast, locally administered and always the same', () => {
    fc.assert(
      fc.property(node, vni, (name, id) => {
        const mac = macOf(name, id, 'vxlan')
        expect(mac).toMatch(/^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/)
        expect(macOf(name, id, 'vxlan')).toBe(mac)
      }),
    )
  })

  test('differs between nodes, networks and kinds', () => {
    const macs = ['node-1', 'node-2'].flatMap((name) =>
      [50, 51].flatMap((id) => [macOf(name, id, 'bridge'), macOf(name, id, 'vxlan')]),
    )
    expect(new Set(macs).size).toBe(8)
  })
})

describe('floods', () => {
  const peers = { addresses: ['172.30.0.1', '172.30.0.2', '172.30.0.3', '172.30.0.2'] }

  test('go to every unicast peer once and never back to this node', () => {
    const { fdb } = desired(systemWith(), world({ peers }))
    expect(fdb?.map(({ dev, mac, dst }) => `${dev} ${mac} ${dst}`)).toEqual([
      'vpn-gateway-x 00:00:00:00:00:00 172.30.0.2',
      'vpn-gateway-x 00:00:00:00:00:00 172.30.0.3',
      'vpn-router-x 00:00:00:00:00:00 172.30.0.2',
      'vpn-router-x 00:00:00:00:00:00 172.30.0.3',
    ])
  })

  test('to a group need no entry but the one that the kernel makes', () => {
    expect(desired(systemWith(), world())).not.toHaveProperty('fdb')
  })

  test('never go to an address of this node, on whichever device: it would hear itself', () => {
    const own = ['127.0.0.1', '172.30.0.1', '10.0.0.1']
    const state = desired(systemWith(), world({ ownAddresses: own, peers: { addresses: ['10.0.0.1', '10.0.0.2'] } }))
    expect(new Set(state.fdb?.map(({ dst }) => dst))).toEqual(new Set(['10.0.0.2']))
  })

  test('are left as the kernel has them while the peers are not known', () => {
    const state = desired(systemWith({ peers: '{ dns: node-agent.vpn-gateway.svc }' }), world({ peers: undefined }))
    expect(state).not.toHaveProperty('fdb')
    expect(vxlanOf(state, 'vpn-gateway-x')?.vxlan).not.toHaveProperty('group')
  })

  test('of a thousand peers: who leaves or joins has its own entry changed in each network, and nobody else', () => {
    const many = Array.from({ length: 1000 }, (_, index) => `172.31.${Math.floor(index / 250)}.${(index % 250) + 1}`)
    const of = (addresses: string[]) => desired(systemWith(), world({ peers: { addresses } }))
    const empty = { links: [], addresses: [], routes: [], rules: [], sysctls: {}, iptables: [], nft: [], wireguard: [] }
    const steps = (before: string[], after: string[]) =>
      plan({ fdb: of(after).fdb ?? [] }, { ...empty, fdb: of(before).fdb ?? [] }, ownerOf(systemWith()))
    const entry = (dev: string) => ({ dev, mac: '00:00:00:00:00:00', dst: '172.31.2.7' })
    const inBoth = (action: string) =>
      ['vpn-gateway-x', 'vpn-router-x'].map((dev) =>
        expect.objectContaining({ object: 'fdb', action, entry: expect.objectContaining(entry(dev)) }),
      )
    const others = many.filter((address) => address !== '172.31.2.7')
    expect(steps(many, others)).toEqual(inBoth('del'))
    expect(steps(others, many)).toEqual(inBoth('append'))
    expect(steps(many, many)).toEqual([])
  })

  test("are the agent's on exactly its VXLAN links", () => {
    expect(ownerOf(systemWith()).fdbDevices).toEqual(['vpn-gateway-x', 'vpn-router-x'])
  })
})

test('told to remove, nothing of its own is left to want', () => {
  const state = removed(world())
  expect(state.links).toEqual([])
  expect(state.iptables?.map(({ family, table, chains, jumps }) => [family, table, chains, jumps])).toEqual([
    [4, 'filter', {}, {}],
    [4, 'raw', {}, {}],
    [6, 'filter', {}, {}],
  ])
})

describe('the node is no host on the networks', () => {
  test('frames that only cross a bridge pass, everything else is dropped', () => {
    const [filter4, , filter6] = desired(systemWith(), world()).iptables ?? []
    expect(filter4).toMatchObject({
      family: 4,
      jumps: { FORWARD: 'VG-BRIDGE', INPUT: 'VG-NODE' },
      chains: {
        'VG-BRIDGE': [
          '-i vpn-gateway -o vpn-gateway -j ACCEPT',
          '-i vpn-gateway -j DROP',
          '-o vpn-gateway -j DROP',
          '-i vpn-router -o vpn-router -j ACCEPT',
          '-i vpn-router -j DROP',
          '-o vpn-router -j DROP',
        ],
        'VG-NODE': ['-i vpn-gateway -j DROP', '-i vpn-router -j DROP'],
      },
    })
    expect(JSON.stringify(filter6)).not.toContain('ACCEPT')
  })

  test('in raw their frames leave connection tracking, where the kernel can, and pass what judges by source', () => {
    const raw = (notrack: boolean) => desired(systemWith(), world({ notrack })).iptables?.[1]
    expect(raw(true)).toMatchObject({
      table: 'raw',
      jumps: { PREROUTING: 'VG-RAW' },
      chains: {
        'VG-RAW': [
          '-i vpn-gateway -j CT --notrack',
          '-i vpn-gateway -j ACCEPT',
          '-i vpn-router -j CT --notrack',
          '-i vpn-router -j ACCEPT',
        ],
      },
    })
    expect(raw(false)?.chains['VG-RAW']).toEqual(['-i vpn-gateway -j ACCEPT', '-i vpn-router -j ACCEPT'])
  })

  test('no policy of the node is touched', () => {
    expect(desired(systemWith(), world()).iptables?.map(({ policies }) => policies)).toEqual([{}, {}, {}])
  })

  test('parameters are left out where they cannot be set, those of IPv6 where there is none', () => {
    expect(desired(systemWith(), world({ sysctls: false }))).not.toHaveProperty('sysctls')
    const state = desired(systemWith(), world({ ipv6: false }))
    expect(Object.keys(state.sysctls ?? {}).some((key) => key.includes('ipv6'))).toBe(false)
    expect(state.iptables?.map(({ family }) => family)).toEqual([4, 4])
  })
})
