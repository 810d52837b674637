/** Reads what `finding.ts` judges. Nothing here changes anything, and what cannot be read is left out. */
import { networkLinks, readTextFile, type System } from '@vpn-gateway/config'
import { readItems, readSysctl, type Runner } from '@vpn-gateway/kernel'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { otherNodes } from './desired.ts'
import type { NodeFacts } from './finding.ts'
import { hasBridgeNetfilter, type World } from './world.ts'

/** The node's; its pod has the two directories of it that are read. */
const run = '/run'

export async function readFacts(runner: Runner, system: System, world: World): Promise<NodeFacts> {
  const own = networkLinks(system).flatMap(({ bridge, vxlan }) => [bridge, vxlan.name])
  const quiet = (argv: readonly [string, ...string[]]) => runner.run({ argv }).catch(() => undefined)
  const [addresses, route, saved, chains, features, version, legacy, strict, managed] = await Promise.all([
    quiet(['ip', '-json', 'address', 'show']),
    routeOf(world, quiet),
    quiet(['iptables-save']),
    quiet(['nft', '--json', 'list', 'chains']),
    quiet(['ethtool', '-k', world.underlay.device]),
    quiet(['iptables', '--version']),
    readFile('/proc/net/ip_tables_names', 'utf8').catch(() => ''),
    reversePathFilter(world.underlay.device),
    managedLinks(own),
  ])
  return {
    linkAddresses: foreignAddresses(addresses, own),
    managed,
    ...(strict === undefined ? {} : { reversePathFilter: strict }),
    ...(route === undefined ? {} : { routeToPeer: route }),
    rpfilterRules: rpfilterRules(saved ?? ''),
    droppingChains: droppingChains(chains),
    bridgeNetfilter: hasBridgeNetfilter(),
    legacyTables: version?.includes('nf_tables') === true && legacy.trim() !== '',
    ...(features === undefined ? {} : { offloads: parseFeatures(features) }),
  }
}

/** IPv4 addresses on own links; the kernel's own link-local IPv6 ones are no sign of anybody. */
export function foreignAddresses(text: string | undefined, own: readonly string[]): string[] {
  interface RawLink {
    ifname?: string
    addr_info?: { family?: string; local?: string; prefixlen?: number; scope?: string }[]
  }
  return readItems<RawLink, string>('ip address', text ?? '', ({ ifname = '', addr_info = [] }) =>
    own.includes(ifname)
      ? addr_info
          .filter(({ family, scope }) => family === 'inet' || scope !== 'link')
          .map(({ local, prefixlen }) => `${ifname} ${local}/${prefixlen}`)
      : [],
  )
}

/** Rules with the match rpfilter, in chains other than raw's: of several tables only raw is asked after the agent's. */
export function rpfilterRules(saved: string): string[] {
  let table = ''
  return saved.split('\n').flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1)
    return table !== 'raw' && /^-A .*-m rpfilter/.test(line) ? [`${table} ${line}`] : []
  })
}

/** Base chains at the forward hook of IPv4 with policy drop; iptables' own has the agent's rules first. */
export function droppingChains(text: string | undefined): string[] {
  interface Chain {
    family: string
    table: string
    name: string
    hook?: string
    policy?: string
  }
  // One object around the list.
  return readItems<{ nftables: { chain?: Chain }[] }, string>('nft list chains', `[${text ?? ''}]`, ({ nftables }) =>
    nftables.flatMap(({ chain }) => {
      if (chain?.hook !== 'forward' || chain.policy !== 'drop') return []
      const { family, table, name } = chain
      if (!['ip', 'inet', 'bridge'].includes(family)) return []
      return family === 'ip' && table === 'filter' && name === 'FORWARD' ? [] : [`${family} ${table} ${name}`]
    }),
  )
}

/** Features by name from `ethtool -k`, true where on. */
export function parseFeatures(text: string): Record<string, boolean> {
  return Object.fromEntries(
    [...text.matchAll(/^[ \t]*([a-z0-9_-]+): (on|off)/gm)].map(([, name = '', state]) => [name, state === 'on']),
  )
}

async function reversePathFilter(device: string): Promise<number | undefined> {
  const values = await Promise.all(
    // A name may hold a dot; slashes keep it whole.
    ['all', device].map((name) => readSysctl(`net/ipv4/conf/${name}/rp_filter`)),
  )
  const numbers = values.filter((value) => value !== undefined).map(Number)
  return numbers.length === 0 ? undefined : Math.max(...numbers)
}

async function routeOf(
  world: World,
  quiet: (argv: readonly [string, ...string[]]) => Promise<string | undefined>,
): Promise<NodeFacts['routeToPeer']> {
  const [peer] = otherNodes(world) ?? []
  if (peer === undefined) return undefined
  const text = await quiet(['ip', '-json', 'route', 'get', peer])
  const [device] = readItems<{ dev?: string }, string>('ip route get', text ?? '', ({ dev }) =>
    dev === undefined ? [] : [dev],
  )
  return device === undefined ? undefined : { peer, device }
}

/** systemd-networkd and NetworkManager keep a file for each link, named by its index. */
async function managedLinks(own: readonly string[]): Promise<NodeFacts['managed']> {
  const found = await Promise.all(
    own.map(async (link) => {
      const index = (await readFile(`/sys/class/net/${link}/ifindex`, 'utf8').catch(() => '')).trim()
      if (index === '') return []
      const read = (directory: string) => readTextFile(join(run, directory, index), longestState).catch(() => '')
      const [networkd, manager] = await Promise.all(['systemd/netif/links', 'NetworkManager/devices'].map(read))
      return managersOf(networkd, manager).map((by) => ({ link, by }))
    }),
  )
  return found.flat()
}

/** Bytes; the file of a link has some hundred, and what comes after the limit is not read. */
const longestState = 64 * 1024

/** Who manages a link by what systemd-networkd and NetworkManager keep of it. */
export function managersOf(networkd = '', networkManager = ''): string[] {
  return [
    ...(/^ADMIN_STATE=(?!unmanaged)/m.test(networkd) ? ['systemd-networkd'] : []),
    ...(/^managed=(1|true|full)/m.test(networkManager) ? ['NetworkManager'] : []),
  ]
}
