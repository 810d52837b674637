import { rangeText, UserError, type System } from '@vpn-gateway/config'
import { listAddresses, listLinks, type Runner } from '@vpn-gateway/kernel'
import { parseListen } from '@vpn-gateway/runtime'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { GatewayOptions } from './options.ts'
import { rangeMatcher } from './range.ts'

/** What the agent is told and finds out about the pod that it runs in. */
export interface World {
  /** Interface on the gateway network, as in `net1`. */
  interface: string
  /** Interface on the primary pod network, as in `eth0`; carries the encrypted packets. */
  primary: string
  /** TCP port that the routers ask for health. */
  httpPort: number
  /** `address:port` of each peer's endpoint by its public key; peers whose host name was never resolved are absent. */
  endpoints: ReadonlyMap<string, string>
  /** Addresses of the name servers that the pod itself uses. */
  nameServers: readonly string[]
  /** Whether the kernel has IPv6. */
  ipv6: boolean
}

/** Addresses of the name servers in resolv.conf(5); none when the file is absent. */
async function readNameServers(path = '/etc/resolv.conf'): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '')
  return [...new Set(found.filter((address) => isIP(address) !== 0))]
}

/** The world as it is now. */
export async function worldOf(
  options: Pick<GatewayOptions, 'interface' | 'primary' | 'listen'>,
  endpoints: World['endpoints'],
): Promise<World> {
  return {
    interface: options.interface,
    primary: options.primary,
    httpPort: parseListen(options.listen)?.port ?? 0,
    endpoints,
    nameServers: await readNameServers(),
    ipv6: hasIpv6(),
  }
}

/** Whether this network namespace has IPv6 at all; it has no such directory when booted with ipv6.disable=1. */
function hasIpv6(): boolean {
  return existsSync('/proc/sys/net/ipv6')
}

/** Throws a `UserError` when an interface is absent or the pod's address on the gateway network is no gateway's. */
export async function requireOwnAddress(
  runner: Runner,
  system: System,
  names: Pick<GatewayOptions, 'interface' | 'primary'>,
): Promise<void> {
  const [links, addresses] = await Promise.all([listLinks(runner), listAddresses(runner)])
  const absent = [names.interface, names.primary].filter((name) => !links.some((link) => link.name === name))
  if (absent.length > 0) {
    throw new UserError(absent.map((name) => `interface ${name}: not present in this network namespace`))
  }
  const held = addresses
    .filter(({ dev, family }) => dev === names.interface && family === 4)
    .map(({ address }) => address.replace(/\/\d+$/, ''))
  const { gateways } = system.gatewayNetwork
  if (held.some(rangeMatcher(gateways))) return
  const found = held.length === 0 ? 'has no IPv4 address' : `has ${held.join(', ')}`
  throw new UserError(
    `interface ${names.interface}: ${found}, expected one of gatewayNetwork.gateways, ${rangeText(gateways)}`,
  )
}
