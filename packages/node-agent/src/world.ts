import { networkLinks, type System } from '@vpn-gateway/config'
import { readNetwork, type Link, type Network, type Runner } from '@vpn-gateway/kernel'
import { constants, existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import type { Peers } from './peers.ts'
import { chooseUnderlay, type Underlay } from './underlay.ts'

/** What the agent is told and finds out about the node that it runs on. */
export interface World {
  /** Name of the node. */
  node: string
  underlay: Underlay
  /** All nodes, this one too; undefined while they are not known. */
  peers: Peers | undefined
  /** The node's addresses of the underlay's IP version, on whichever link. */
  ownAddresses: readonly string[]
  /** Links of the node. */
  links: readonly Link[]
  /** Names of the links with an IPv4 address, or with one of the underlay's IP version that is not link-local. */
  addressed: readonly string[]
  /** Whether the kernel has IPv6. */
  ipv6: boolean
  /** Whether kernel parameters can be set; /proc/sys is read-only in a container that is not privileged. */
  sysctls: boolean
  /** Whether iptables can take packets out of connection tracking. */
  notrack: boolean
}

/** Reads the node, and keeps what was read last. */
export interface WorldReader {
  /** Rejects with a `UserError` when the underlay is not there. */
  read(): Promise<World>
  /** What the last reading found; undefined when it failed. */
  last(): World | undefined
}

/** `notrack` is found out once, before anything is changed; `peers` is asked at each reading. */
export function createWorldReader(
  runner: Runner,
  system: System,
  { node, notrack, peers }: { node: string; notrack: boolean; peers: () => Peers | undefined },
): WorldReader {
  const ownLinks = new Set(networkLinks(system).flatMap(({ bridge, vxlan }) => [bridge, vxlan.name]))
  let last: World | undefined
  return {
    last: () => last,
    async read() {
      last = undefined
      const family = system.underlay.ipFamily
      const [network, sysctls] = await Promise.all([readView(runner, family), canSetParameters()])
      const known = peers()
      last = {
        node,
        underlay: chooseUnderlay(
          system,
          network,
          ownLinks,
          known !== undefined && 'addresses' in known ? known.addresses : [],
        ),
        peers: known,
        ownAddresses: network.addresses
          .filter((each) => each.family === family)
          .map(({ address }) => address.slice(0, address.indexOf('/'))),
        links: network.links,
        addressed: network.addresses.filter(({ address }) => !address.startsWith('fe80:')).map(({ dev }) => dev),
        ipv6: existsSync('/proc/sys/net/ipv6'),
        sysctls,
        notrack,
      }
      return last
    },
  }
}

/** Whether br_netfilter is loaded, so that frames on bridges meet iptables. */
export function hasBridgeNetfilter(): boolean {
  return existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables')
}

/** Links, IPv4 addresses, and addresses and routes of the underlay's IP version. */
async function readView(runner: Runner, family: 4 | 6): Promise<Network> {
  if (family === 4) return readNetwork(runner, 4, ['link', 'address', 'route'])
  const [{ links, addresses }, rest] = await Promise.all([
    readNetwork(runner, 4, ['link', 'address']),
    readNetwork(runner, 6, ['address', 'route']),
  ])
  return { ...rest, links, addresses: [...addresses, ...rest.addresses] }
}

async function canSetParameters(): Promise<boolean> {
  return access('/proc/sys/net/ipv4/conf/default/forwarding', constants.W_OK).then(
    () => true,
    () => false,
  )
}
