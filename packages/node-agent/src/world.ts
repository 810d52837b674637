import { networkLinks, type System } from '@vpn-gateway/config'
import { readNetwork, type Link, type Runner } from '@vpn-gateway/kernel'
import { constants, existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { chooseUnderlay, type Underlay } from './underlay.ts'

/** Who receives what is flooded: broadcasts, and frames for a MAC that no node has learned yet. */
export type Peers = { group: string } | { addresses: readonly string[] }

/** What the agent is told and finds out about the node that it runs on. */
export interface World {
  /** Name of the node. */
  node: string
  underlay: Underlay
  /** All nodes, this one too. */
  peers: Peers
  /** Links of the node. */
  links: readonly Link[]
  /** Whether the kernel has IPv6. */
  ipv6: boolean
  /** Whether kernel parameters can be set; /proc/sys is read-only in a container that is not privileged. */
  sysctls: boolean
}

/** Reads the node, and keeps what was read last. */
export interface WorldReader {
  /** Rejects with a `UserError` when the underlay is not there. */
  read(): Promise<World>
  /** What the last reading found; undefined when it failed. */
  last(): World | undefined
}

export function createWorldReader(runner: Runner, system: System, node: string): WorldReader {
  const ownLinks = new Set(networkLinks(system).flatMap(({ bridge, vxlan }) => [bridge, vxlan.name]))
  let last: World | undefined
  return {
    last: () => last,
    async read() {
      last = undefined
      const [network, sysctls] = await Promise.all([
        readNetwork(runner, 4, ['link', 'address', 'route']),
        canSetParameters(),
      ])
      last = {
        node,
        underlay: chooseUnderlay(system, network, ownLinks),
        peers: peersOf(system),
        links: network.links,
        ipv6: existsSync('/proc/sys/net/ipv6'),
        sysctls,
      }
      return last
    },
  }
}

/** Whether br_netfilter is loaded, so that frames on bridges meet iptables. */
export function hasBridgeNetfilter(): boolean {
  return existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables')
}

function peersOf({ underlay: { peers } }: System): Peers {
  return 'multicast' in peers ? { group: peers.multicast } : { addresses: peers.addresses }
}

async function canSetParameters(): Promise<boolean> {
  return access('/proc/sys/net/ipv4/conf/default/forwarding', constants.W_OK).then(
    () => true,
    () => false,
  )
}
