import { rangeText, readTextFile, UserError, type System } from '@vpn-gateway/config'
import { listAddresses, listLinks, type Runner } from '@vpn-gateway/kernel'
import { parseListen } from '@vpn-gateway/runtime'
import { existsSync } from 'node:fs'
import type { Implementation } from './implementation.ts'
import type { HookAddress } from './forward-hook.ts'
import type { LeasedPort } from './leases.ts'
import type { GatewayOptions } from './options.ts'
import { rangeMatcher } from './range.ts'
import { kernelAddress } from './tunnel-value.ts'

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
  /** What carries the tunnel. */
  implementation: Implementation
  /** Whether the kernel has IPv6. */
  ipv6: boolean
  /** Leased ports. */
  leased: readonly LeasedPort[]
  /** Where the hook of the forwards is reached; absent where there is none or its name was never resolved. */
  hook?: HookAddress
}

/** Bytes; what comes after them is not read. */
const longestResolvConf = 64 * 1024

/** Addresses of the name servers in resolv.conf(5); none when the file is absent. */
async function readNameServers(path = '/etc/resolv.conf'): Promise<string[]> {
  return parseNameServers(await readTextFile(path, longestResolvConf).catch(() => ''))
}

/**
 * Addresses of the name servers in the text of a resolv.conf(5), each once and as the kernel prints it, by which rules are
 * compared. A link-local one may stand there with its link, `fe80::1%eth0`, which no rule takes.
 */
export function parseNameServers(text: string): string[] {
  const found = [...text.matchAll(/^[ \t]*nameserver[ \t]+([^\s%]+)/gm)]
  return [...new Set(found.flatMap((match) => kernelAddress(match[1] ?? '') ?? []))]
}

/** The world as it is now. */
export async function worldOf(
  options: Pick<GatewayOptions, 'interface' | 'primary' | 'listen'>,
  implementation: Implementation,
  endpoints: World['endpoints'],
  forwarding: Pick<World, 'leased' | 'hook'>,
): Promise<World> {
  return {
    interface: options.interface,
    primary: options.primary,
    httpPort: parseListen(options.listen)?.port ?? 0,
    endpoints,
    implementation,
    nameServers: await readNameServers(),
    ipv6: hasIpv6(),
    ...forwarding,
  }
}

/** Whether this network namespace has IPv6 at all; it has no such directory when booted with ipv6.disable=1. */
function hasIpv6(): boolean {
  return existsSync('/proc/sys/net/ipv6')
}

/** The pod's address on the gateway network. Throws a `UserError` when an interface is absent or none is a gateway's. */
export async function ownAddress(
  runner: Runner,
  system: System,
  names: Pick<GatewayOptions, 'interface' | 'primary'>,
): Promise<string> {
  const [links, addresses] = await Promise.all([listLinks(runner), listAddresses(runner)])
  const absent = [names.interface, names.primary].filter((name) => !links.some((link) => link.name === name))
  if (absent.length > 0) {
    throw new UserError(absent.map((name) => `interface ${name}: not present in this network namespace`))
  }
  const held = addresses
    .filter(({ dev, family }) => dev === names.interface && family === 4)
    .map(({ address }) => address.replace(/\/\d+$/, ''))
  const { gateways } = system.gatewayNetwork
  const own = held.find(rangeMatcher(gateways))
  if (own !== undefined) return own
  const found = held.length === 0 ? 'has no IPv4 address' : `has ${held.join(', ')}`
  throw new UserError(
    `interface ${names.interface}: ${found}, expected one of gatewayNetwork.gateways, ${rangeText(gateways)}`,
  )
}
