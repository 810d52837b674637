/**
 * The desired state against what the real tools print of it: the recorded files are their output after the rules of this
 * very system were applied (iptables 1.8.9, nft 1.0.6), so that a rule in other words than the kernel's fails here.
 */
import { parseIptablesSave, parseNftBody } from '@vpn-gateway/kernel'
import { describe, expect, test } from 'vitest'
import { desired, owner } from '../src/desired.ts'
import type { World } from '../src/world.ts'
import { exampleRouter, recorded } from './router.ts'

const world: World = {
  live: new Map([
    ['192.168.50.248', 100],
    ['192.168.50.249', 400],
  ]),
  orphans: 'reset',
  ipv6: true,
}
const state = (changes: Partial<World> = {}) => desired(exampleRouter(), { ...world, ...changes })
const gatewayRoute = (changes: Partial<World> = {}) => state(changes).routes?.find((route) => route.table === 153)

describe('firewall', () => {
  const specs = state().iptables ?? []
  test.each(specs.map((spec) => [`IPv${spec.family} ${spec.table}`, spec] as const))(
    '%s, word for word',
    (_name, spec) => {
      const text = recorded(spec.family === 4 ? 'iptables-save.txt' : 'ip6tables-save.txt')
      const saved = parseIptablesSave(text, spec.family).find(({ table }) => table === spec.table)
      if (saved === undefined) throw new Error(`no table ${spec.table} in the recorded file`)
      const own = Object.entries(saved.chains).filter(([chain]) => chain.startsWith(owner.chainPrefix))
      expect(spec.chains).toEqual(Object.fromEntries(own))
      expect(saved.policies).toMatchObject(spec.policies)
      for (const [chain, target] of Object.entries(spec.jumps)) expect(saved.chains[chain]).toEqual([`-j ${target}`])
    },
  )

  test('orphans, word for word', () => {
    expect(state().nft?.[0]?.body).toBe(parseNftBody(recorded('orphans.nft')))
  })

  test('only a settled active router resets orphans', () => {
    expect(state({ orphans: 'drop' }).nft?.[0]?.body).not.toContain('reject')
  })

  test('without IPv6 in the kernel there is nothing to filter', () => {
    expect(state({ ipv6: false }).iptables?.map(({ family }) => family)).toEqual([4, 4])
  })
})

describe('routes', () => {
  test('what IPVS does not carry goes to live gateways by weight', () => {
    expect(gatewayRoute()).toMatchObject({
      type: 'unicast',
      nexthops: [
        { via: '192.168.50.248', dev: 'net1', weight: 64 },
        { via: '192.168.50.249', dev: 'net1', weight: 256 },
      ],
    })
  })

  test('and nowhere without one', () => {
    expect(gatewayRoute({ live: new Map() })).toMatchObject({ type: 'unreachable', nexthops: [] })
  })

  test('whatever comes from the gateway network never meets the main table but for that network itself', () => {
    expect(state().rules?.filter((rule) => rule.table === 254)).toEqual([
      { family: 4, priority: 1610, to: '192.168.50.0/24', iif: 'net1', table: 254 },
    ])
    expect(state().rules?.at(-1)).toEqual({ family: 4, priority: 1620, iif: 'net1', table: 153 })
  })

  test('forwarding is the last of the kernel parameters', () => {
    expect(Object.keys(state().sysctls ?? {}).at(-1)).toBe('net/ipv4/ip_forward')
  })
})
