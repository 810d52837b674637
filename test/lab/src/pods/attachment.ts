/**
 * From a network attachment as a cluster gets it (bridge + whereabouts + tuning) to what the CNI plugins can run here:
 * the same JSON with host-local in whereabouts' place. Everything else is handed on as it is.
 */
import ipaddr from 'ipaddr.js'

/** The part of a NetworkAttachmentDefinition (k8s.cni.cncf.io/v1) that Multus reads. */
export interface NetworkAttachment {
  metadata: { name: string }
  /** `config` is a CNI network configuration list as JSON text. */
  spec: { config: string }
}

/** A CNI network configuration list that Debian's plugins can run. */
export interface PluginList {
  cniVersion: string
  name: string
  plugins: Record<string, unknown>[]
}

const listKeys = ['cniVersion', 'name', 'plugins', 'disableCheck']
// CNI plugins ignore keys they do not know, so that a misspelt one would pass unnoticed here and in a cluster.
const knownKeys: Record<string, readonly string[]> = {
  bridge: [
    'type',
    'bridge',
    'mtu',
    'ipam',
    'isGateway',
    'isDefaultGateway',
    'forceAddress',
    'ipMasq',
    'hairpinMode',
    'promiscMode',
    'macspoofchk',
    'vlan',
    'dns',
    'capabilities',
  ],
  tuning: ['type', 'sysctl', 'mac', 'mtu', 'promisc', 'allmulti', 'capabilities'],
  whereabouts: [
    'type',
    'range',
    'range_start',
    'range_end',
    'exclude',
    'routes',
    'gateway',
    'enable_overlapping_ranges',
  ],
}

/** Translates one attachment; throws an error that names it and what can't be carried over. */
export function pluginListOf(attachment: NetworkAttachment, leaseDirectory: string): PluginList {
  const where = `network attachment ${attachment.metadata.name}`
  const list: unknown = JSON.parse(attachment.spec.config)
  if (!isObject(list)) throw new Error(`${where}: config is not an object`)
  refuseUnknownKeys(where, list, listKeys)
  const { cniVersion, name, plugins } = list
  if (typeof cniVersion !== 'string' || typeof name !== 'string' || !Array.isArray(plugins)) {
    throw new Error(`${where}: expected cniVersion, name and plugins`)
  }
  return { cniVersion, name, plugins: plugins.map((plugin: unknown) => translatePlugin(where, plugin, leaseDirectory)) }
}

function translatePlugin(where: string, plugin: unknown, leaseDirectory: string): Record<string, unknown> {
  if (!isObject(plugin) || typeof plugin['type'] !== 'string') throw new Error(`${where}: a plugin has no type`)
  const keys = knownKeys[plugin['type']]
  if (keys === undefined) throw new Error(`${where}: plugin ${plugin['type']} is not one of the lab's`)
  refuseUnknownKeys(`${where}: ${plugin['type']}`, plugin, keys)
  if (!isObject(plugin['ipam'])) return plugin
  return { ...plugin, ipam: hostLocalOf(`${where}: ipam`, plugin['ipam'], leaseDirectory) }
}

function hostLocalOf(where: string, ipam: Record<string, unknown>, dataDir: string): Record<string, unknown> {
  if (ipam['type'] !== 'whereabouts') throw new Error(`${where}: expected whereabouts, got ${String(ipam['type'])}`)
  refuseUnknownKeys(where, ipam, knownKeys['whereabouts'] ?? [])
  const exclude = ipam['exclude']
  if (Array.isArray(exclude) && exclude.length > 0) {
    throw new Error(`${where}: exclude has no equivalent in host-local: give range_start and range_end`)
  }
  const { subnet, start, end } = rangeOf(where, ipam)
  return {
    type: 'host-local',
    dataDir,
    ranges: [
      [
        {
          subnet,
          ...(start === undefined ? {} : { rangeStart: start }),
          ...(end === undefined ? {} : { rangeEnd: end }),
          // host-local never hands out the gateway, by default the subnet's first address; whereabouts reserves none.
          // The network address is handed out by neither.
          gateway: subnet.slice(0, subnet.indexOf('/')),
        },
      ],
    ],
    routes: routesOf(where, ipam),
  }
}

/** whereabouts takes `FIRST-LAST/LEN` as well as `ADDRESS/LEN` with range_start and range_end. */
function rangeOf(where: string, ipam: Record<string, unknown>): { subnet: string; start?: string; end?: string } {
  const text = String(ipam['range'])
  const match = /^([\d.]+)(?:-([\d.]+))?\/(\d+)$/.exec(text)
  if (match === null) throw new Error(`${where}: range ${text}: expected FIRST-LAST/LENGTH or ADDRESS/LENGTH`)
  const [, first, last, length] = match
  const cidr = `${first}/${length}`
  const start = typeof ipam['range_start'] === 'string' ? ipam['range_start'] : last === undefined ? undefined : first
  const end = typeof ipam['range_end'] === 'string' ? ipam['range_end'] : last
  return {
    subnet: `${ipaddr.IPv4.networkAddressFromCIDR(cidr).toString()}/${length}`,
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
  }
}

function routesOf(where: string, ipam: Record<string, unknown>): { dst: string; gw: string }[] {
  const routes: unknown[] = Array.isArray(ipam['routes']) ? ipam['routes'] : []
  return routes.map((route) => {
    const gateway = isObject(route) ? (route['gw'] ?? ipam['gateway']) : undefined
    if (!isObject(route) || typeof route['dst'] !== 'string' || typeof gateway !== 'string') {
      throw new Error(`${where}: a route needs dst and gw: ${JSON.stringify(route)}`)
    }
    return { dst: route['dst'], gw: gateway }
  })
}

function refuseUnknownKeys(where: string, value: Record<string, unknown>, known: readonly string[]): void {
  const unknown = Object.keys(value).filter((key) => !known.includes(key))
  if (unknown.length > 0) throw new Error(`${where}: unknown key ${unknown.join(', ')}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
