/**
 * The desired state against what the real tools print of it: the fixtures are iptables-save's output after the rules of
 * this very system were applied (iptables 1.8.9, nf_tables), so that a rule in other words than the kernel's fails here.
 */
import { networkAttachments, parseSystem } from '@vpn-gateway/config'
import { parseIptablesSave, type Family } from '@vpn-gateway/kernel'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { desired, ownerOf } from '../src/desired.ts'
import { leaseWishes } from '../src/forward.ts'
import { parseTunnelFile } from '../src/tunnel-file.ts'
import type { World } from '../src/world.ts'

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8')
const published = readFileSync(new URL('../../../deploy/vpn-gateway.yaml', import.meta.url), 'utf8')
const system = parseSystem(published.replace('protocol: tcp', 'protocol: both'), 'vpn-gateway.yaml')
const tunnel = parseTunnelFile(fixture('provider.conf'), 'provider.conf')
const peer = tunnel.peers[0]?.publicKey ?? ''
const world: World = {
  interface: 'net1',
  primary: 'eth0',
  httpPort: 9801,
  endpoints: new Map([[peer, '198.51.100.20:51820']]),
  nameServers: ['10.96.0.10', '192.0.2.53', '2001:db8::53'],
  implementation: 'kernel',
  ipv6: true,
  leased: [],
}

describe('firewall', () => {
  const specs = desired(system, tunnel, world).iptables ?? []
  test.each(specs.map((spec) => [`IPv${spec.family} ${spec.table}`, spec] as const))(
    '%s, word for word',
    (_name, spec) => {
      const text = fixture(spec.family === 4 ? 'iptables-save.txt' : 'ip6tables-save.txt')
      const saved = parseIptablesSave(text, spec.family).find(({ table }) => table === spec.table)
      if (saved === undefined) throw new Error(`no table ${spec.table} in the fixture`)
      const own = Object.entries(saved.chains).filter(([chain]) => chain.startsWith(ownerOf(system, world).chainPrefix))
      expect(spec.chains).toEqual(Object.fromEntries(own))
      expect(saved.policies).toMatchObject(spec.policies)
      for (const [chain, target] of Object.entries(spec.jumps)) expect(saved.chains[chain]).toEqual([`-j ${target}`])
    },
  )

  test('the filters come first, and close all six built-in chains', () => {
    expect(specs.slice(0, 2).map(({ family, table, policies }) => [family, table, policies])).toEqual(
      ([4, 6] satisfies Family[]).map((family) => [
        family,
        'filter',
        { INPUT: 'DROP', FORWARD: 'DROP', OUTPUT: 'DROP' },
      ]),
    )
  })

  test('without IPv6 in the kernel no IPv6 object is asked for', () => {
    const state = desired(system, tunnel, { ...world, ipv6: false })
    expect(state.iptables?.every(({ family }) => family === 4)).toBe(true)
    expect(Object.keys(state.sysctls ?? {}).some((key) => key.includes('ipv6'))).toBe(false)
  })

  test('out of the tunnel into the pod network passes only what came in by a port', () => {
    const filter = desired(system, tunnel, world).iptables?.find(
      ({ family, table }) => family === 4 && table === 'filter',
    )
    const rules = filter?.chains['VG-FORWARD']?.filter((rule) => rule.includes('-i wg0 -o eth0')) ?? []
    expect(rules).not.toHaveLength(0)
    for (const rule of rules) expect(rule).toContain('--ctstate DNAT ')
  })

  test('exactly two rules of nat for each port and protocol', () => {
    const nat = (state: typeof system) => {
      const spec = desired(state, tunnel, world).iptables?.find(({ table }) => table === 'nat')
      return Object.values(spec?.chains ?? {}).flat().length
    }
    expect(nat(system) - nat({ ...system, forwards: [] })).toBe(4)
  })

  test('a leased port is translated by all of its numbers, each once; what is fixed goes first', () => {
    const text = published.replace(
      /forwards:[^]*/,
      `forwards:
  - { name: torrent, protocol: tcp, lease: { protocol: nat-pmp }, to: { address: 10.96.0.101, port: 6881 } }
  - { name: web, protocol: tcp, port: 45678, to: { address: 10.96.0.100, port: 8080 } }
  - { name: game, protocol: udp, lease: { protocol: nat-pmp, internalPort: 0 }, to: { address: 10.96.0.102, port: 7000 } }
`,
    )
    const leasing = parseSystem(text, 'vpn-gateway.yaml')
    const rulesFor = (leased: World['leased']) => {
      const tables = desired(leasing, tunnel, { ...world, leased }).iptables ?? []
      const chain = (table: string, name: string) =>
        tables.find((spec) => spec.family === 4 && spec.table === table)?.chains[name] ?? []
      return {
        ports: chain('nat', 'VG-PREROUTING').map((rule) =>
          rule.replace(/.*-m (\w+) --dport (\d+) .* (\S+)$/, '$1 $2 $3'),
        ),
        sources: chain('nat', 'VG-POSTROUTING').length - 1,
        passed: chain('filter', 'VG-FORWARD').flatMap((rule) => /-j (VG-(?:TCP|UDP)-\d+)/.exec(rule)?.[1] ?? []),
      }
    }
    const wishes = leaseWishes(leasing)
    expect(wishes.map(({ name, protocol, server, internalPort }) => [name, protocol, server, internalPort])).toEqual([
      ['torrent', 'tcp', '10.2.0.1', 6881],
      ['game', 'udp', '10.2.0.1', 0],
    ])
    const at = (ports: (number | undefined)[], formerPorts: number[] = []) =>
      wishes.map((wish, index) => {
        const externalPort = ports[index]
        return { ...wish, formerPorts, ...(externalPort === undefined ? {} : { externalPort }) }
      })
    // Before the first answer, so that a server of the standard finds the rule in place.
    expect(rulesFor(at([])).ports).toEqual(['tcp 45678 10.96.0.100:8080', 'tcp 6881 10.96.0.101:6881'])
    expect(rulesFor(at([40000, 40000], [39999]))).toEqual({
      ports: [
        'tcp 45678 10.96.0.100:8080',
        'tcp 6881 10.96.0.101:6881',
        'tcp 40000 10.96.0.101:6881',
        'udp 40000 10.96.0.102:7000',
        'tcp 39999 10.96.0.101:6881',
        'udp 39999 10.96.0.102:7000',
      ],
      sources: 3,
      passed: ['VG-TCP-45678', 'VG-TCP-6881', 'VG-TCP-40000', 'VG-UDP-40000', 'VG-TCP-39999', 'VG-UDP-39999'],
    })
    // A provider cannot take over what the system file gives to another service.
    expect(rulesFor(at([45678, 6881])).ports).toEqual([
      'tcp 45678 10.96.0.100:8080',
      'tcp 6881 10.96.0.101:6881',
      'udp 6881 10.96.0.102:7000',
    ])
  })

  test('the hook of the forwards is let out to, at its one address and port', () => {
    const primary = (hook: World['hook']) =>
      (desired(system, tunnel, { ...world, ...(hook === undefined ? {} : { hook }) }).iptables ?? []).map(
        ({ chains }) => chains['VG-PRIMARY'] ?? [],
      )
    const [without = [], ...others] = primary(undefined)
    const [withHook = [], ...rest] = primary({ address: '192.0.2.80', port: 8090 })
    expect(withHook.filter((rule) => !without.includes(rule))).toEqual([
      '-d 192.0.2.80/32 -p tcp -m tcp --dport 8090 -j ACCEPT',
    ])
    expect(withHook.at(-1)).toBe('-j REJECT --reject-with icmp-admin-prohibited')
    expect(rest).toEqual(others)
  })

  test('clients come from the client range only, and private destinations are refused before the accept', () => {
    const rules = specs[0]?.chains['VG-CLIENTS'] ?? []
    const accept = rules.indexOf('-j ACCEPT')
    expect(accept).toBe(rules.length - 1)
    for (const cidr of [
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '100.64.0.0/10',
      '169.254.0.0/16',
      '224.0.0.0/4',
    ]) {
      expect(rules).toContain(`-d ${cidr} -j REJECT --reject-with icmp-admin-prohibited`)
    }
  })
})

describe('tunnel and routing', () => {
  test('the link, its peers with resolved endpoints, its address without a connected route', () => {
    expect(desired(system, tunnel, world)).toMatchObject({
      links: [{ name: 'wg0', kind: 'wireguard', mtu: 1380, up: true }],
      wireguard: [
        { name: 'wg0', publicKey: tunnel.publicKey, peers: [{ publicKey: peer, endpoint: '198.51.100.20:51820' }] },
      ],
      addresses: [{ dev: 'wg0', address: '10.9.0.2/32', family: 4 }],
    })
  })

  test('in userspace the link is a tun, which its daemon makes', () => {
    const { links } = desired(system, tunnel, { ...world, implementation: 'userspace' })
    expect(links).toEqual([{ name: 'wg0', kind: 'tun', mtu: 1380, up: true }])
  })

  test("the system's MTU serves where the file names none", () => {
    const { mtu: _, ...rest } = tunnel
    expect(desired(system, rest, world).links?.[0]?.mtu).toBe(1420)
  })

  test('a peer whose name was never resolved is set without endpoint, and nothing of it may leave', () => {
    const state = desired(system, tunnel, { ...world, endpoints: new Map() })
    expect(state.wireguard?.[0]?.peers[0]).not.toHaveProperty('endpoint')
    expect(state.iptables?.[0]?.chains['VG-PRIMARY']?.some((rule) => rule.includes('51820'))).toBe(false)
  })

  test('no way out but the tunnel, and back by the VIP', () => {
    const { routes = [], rules = [] } = desired(system, tunnel, world)
    expect(routes.filter(({ table }) => table === 151)).toEqual([
      { family: 4, table: 151, type: 'unreachable', dst: 'default', nexthops: [], metric: 4_000_000 },
      { family: 4, table: 151, type: 'unicast', dst: 'default', nexthops: [{ dev: 'wg0' }] },
    ])
    const back = routes.filter(({ table }) => table === 254)
    expect(back.length).toBeGreaterThan(1)
    for (const route of back) {
      expect(route.nexthops).toEqual([{ via: '192.168.50.240', dev: 'net1' }])
      expect(Number(route.dst.split('/')[1])).toBeGreaterThan(24)
    }
    expect(rules.map(({ priority, from, iif, fwmark, table }) => ({ priority, from, iif, fwmark, table }))).toEqual([
      { priority: 1500, from: '10.9.0.2/32', table: 151 },
      { priority: 1530, fwmark: { mark: 2, mask: 2 }, table: 151 },
      { priority: 1540, iif: 'net1', table: 151 },
    ])
  })

  test('without routers clients are on-link: no routes back', () => {
    const { routerNetwork: _, ...rest } = system
    expect(desired(rest, tunnel, world).routes?.filter(({ table }) => table === 254)).toEqual([])
  })

  test('but for forwarding, a pod whose parameters nobody can change has all of them from its network attachment', () => {
    const attachment = networkAttachments(system).find(({ metadata }) => metadata.name === 'gateway')
    const { plugins } = JSON.parse(attachment?.spec.config ?? '') as { plugins: { sysctl?: Record<string, string> }[] }
    const given = Object.entries(plugins[1]?.sysctl ?? {}).map(([key, value]) => [
      // The tunnel's link, which is made later, begins with the defaults.
      key.replaceAll('.', '/').replace('IFNAME', world.interface).replace('default', 'wg0'),
      value,
    ])
    const wanted = Object.entries(desired(system, tunnel, world).sysctls ?? {}).filter(
      // A new namespace does not forward IPv6, whatever its node does.
      ([key]) => !['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'].includes(key),
    )
    expect(Object.fromEntries(given)).toMatchObject(Object.fromEntries(wanted))
  })

  test('forwarding is the last of the parameters', () => {
    expect(Object.entries(desired(system, tunnel, world).sysctls ?? {}).at(-1)).toEqual(['net/ipv4/ip_forward', '1'])
  })
})

test('what the attachment leaves in the way until the filters stand is taken away, with routers and without', () => {
  const { routerNetwork: _routerNetwork, ...single } = system
  for (const each of [system, single]) {
    expect(ownerOf(each, world).untilFiltered).toEqual({ via: '192.168.50.240', dev: 'net1' })
  }
})
