import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { desired, macOf, ownerOf } from '../src/desired.ts'
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

  test("are the agent's on exactly its VXLAN links", () => {
    expect(ownerOf(systemWith()).fdbDevices).toEqual(['vpn-gateway-x', 'vpn-router-x'])
  })
})

describe('the node is no host on the networks', () => {
  test('frames that only cross a bridge pass, everything else is dropped', () => {
    const [filter4, filter6] = desired(systemWith(), world()).iptables ?? []
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

  test('no policy of the node is touched', () => {
    expect(desired(systemWith(), world()).iptables?.map(({ policies }) => policies)).toEqual([{}, {}])
  })

  test('parameters are left out where they cannot be set, those of IPv6 where there is none', () => {
    expect(desired(systemWith(), world({ sysctls: false }))).not.toHaveProperty('sysctls')
    const state = desired(systemWith(), world({ ipv6: false }))
    expect(Object.keys(state.sysctls ?? {}).some((key) => key.includes('ipv6'))).toBe(false)
    expect(state.iptables?.map(({ family }) => family)).toEqual([4])
  })
})
