/**
 * The desired state against what the real tools print of it: the recorded files are their output after the rules of this
 * very system were applied (iptables 1.8.9, nft 1.0.6), so that a rule in other words than the kernel's fails here.
 */
import { networkAttachments } from '@vpn-gateway/config'
import { parseIptablesSave, parseNftBody } from '@vpn-gateway/kernel'
import { describe, expect, test } from 'vitest'
import { desired, ownerOf } from '../src/desired.ts'
import type { World } from '../src/world.ts'
import { exampleRouter, recorded } from './router.ts'

const world: World = {
  live: new Map([
    ['192.168.50.248', 100],
    ['192.168.50.249', 400],
  ]),
  inService: 3,
  orphans: 'reset',
  ipv6: true,
}
const owner = ownerOf(exampleRouter())
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

  test('without any gateway a settled active router refuses all at once, before IPVS drops it', () => {
    const body = state({ inService: 0 }).nft?.[0]?.body ?? ''
    expect(body.match(/hook prerouting[^}]*/)?.[0]).toMatch(
      /reject with tcp reset[^]*reject with icmp admin-prohibited/,
    )
    expect(state({ inService: 0, orphans: 'drop' }).nft?.[0]?.body).not.toContain('reject')
  })

  test('only a settled active router resets orphans', () => {
    expect(state({ orphans: 'drop' }).nft?.[0]?.body).not.toContain('reject')
  })

  test('without IPv6 in the kernel there is nothing to filter', () => {
    expect(state({ ipv6: false }).iptables?.map(({ family }) => family)).toEqual([4, 4, 4])
  })
})

describe('stickiness', () => {
  const stickyState = desired(
    exampleRouter({}, (system) => ({
      ...system,
      router: {
        ...system.router,
        stickiness: [
          { clients: '192.168.50.1-192.168.50.9', by: 'client', seconds: 600 },
          { clients: '192.168.50.10 - 192.168.50.19', by: 'client-and-destination', seconds: 3600 },
        ],
      },
    })),
    world,
  )

  test.each(['filter', 'mangle', 'raw'])('%s, word for word', (table) => {
    const saved = parseIptablesSave(recorded('iptables-save-sticky.txt'), 4).find((each) => each.table === table)
    const own = Object.entries(saved?.chains ?? {}).filter(([chain]) => chain.startsWith(owner.chainPrefix))
    const spec = stickyState.iptables?.find((each) => each.family === 4 && each.table === table)
    expect(spec?.chains).toEqual(Object.fromEntries(own))
    expect(own.length).toBeGreaterThan(1)
  })

  test('orphans, word for word', () => {
    expect(stickyState.nft?.[0]?.body).toBe(parseNftBody(recorded('orphans-sticky.nft')))
  })

  test('all of its marks lead to IPVS', () => {
    expect(stickyState.rules?.filter(({ table }) => table === 152).map(({ fwmark }) => fwmark)).toEqual([
      { mark: 1, mask: 0xffffffff },
      { mark: 0x10000, mask: 0xffff0000 },
    ])
  })

  test('without it there is nothing of it', () => {
    expect(state().rules?.filter(({ table }) => table === 152)).toHaveLength(1)
    expect(JSON.stringify(state().iptables)).not.toMatch(/STICKY|0x10000/)
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

  test('of many to as many as one line of `ip -batch` holds', () => {
    const live = new Map(Array.from({ length: 250 }, (_, index) => [`192.168.50.${index + 1}`, 100]))
    expect(gatewayRoute({ live })?.nexthops).toHaveLength(64)
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

  test('a flow that has lost its mark goes nowhere, rather than to another gateway', () => {
    const { rules = [], routes = [] } = state()
    const marked = rules.findIndex(({ fwmark }) => fwmark !== undefined)
    const lost = rules.flatMap(({ ipProtocol, iif, table }, at) =>
      ipProtocol === undefined ? [] : [{ ipProtocol, iif, table, at }],
    )
    expect(lost.map(({ ipProtocol, iif, table }) => [ipProtocol, iif, table])).toEqual([
      ['tcp', 'net1', 154],
      ['udp', 'net1', 154],
    ])
    expect(lost.every(({ at }) => at > marked && at < rules.length - 1)).toBe(true)
    expect(routes.filter(({ table }) => table === 154)).toEqual([
      { family: 4, table: 154, type: 'blackhole', dst: 'default', nexthops: [] },
    ])
  })

  test('but for forwarding, a pod whose parameters nobody can change has all of them from its network attachments', () => {
    const router = exampleRouter()
    const given = networkAttachments(router.system).flatMap(({ metadata: { name }, spec }) => {
      const link = { router: router.link, 'router-sync': router.syncLink }[name as string]
      if (link === undefined) return []
      const [, tuning] = (JSON.parse(spec.config) as { plugins: { sysctl?: Record<string, string> }[] }).plugins
      return Object.entries(tuning?.sysctl ?? {}).map(([key, value]) => [
        key.replaceAll('.', '/').replace('IFNAME', link),
        value,
      ])
    })
    const { 'net/ipv4/ip_forward': _, ...wanted } = state().sysctls ?? {}
    expect(Object.fromEntries(given)).toMatchObject(wanted)
  })

  test('what the attachment leaves in the way until the filters stand is taken away', () => {
    expect(owner.untilFiltered).toEqual({ via: '192.168.50.240', dev: 'net1' })
  })

  test('forwarding is the last of the kernel parameters', () => {
    expect(Object.keys(state().sysctls ?? {}).at(-1)).toBe('net/ipv4/ip_forward')
  })
})
