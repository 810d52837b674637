/** Faults of what lies between and behind the pods: the nodes' underlay and the providers. */
import type { LabContext } from '../context.ts'
import { UNDERLAY, endpointPort } from '../topology/addresses.ts'
import { runIn } from '../topology/namespace.ts'
import { cutTable, removeTable } from './cut-table.ts'

export interface NetworkFaults {
  /**
   * A gateway's provider drops what comes in: at its `endpoint` all of WireGuard, which then hears nothing; in the `tunnel`
   * what was decrypted, while hands are shaken as ever.
   */
  silenceProvider(gateway: string, where: 'endpoint' | 'tunnel'): Promise<void>
  unsilenceProvider(gateway: string): Promise<void>
  /** The underlay's switch drops every frame from and to a node: its pods hear those of other nodes no more. */
  cutNode(node: string): Promise<void>
  healNode(node: string): Promise<void>
}

/** Makes these faults of one lab. */
export function createNetworkFaults({ runner, topology }: LabContext): NetworkFaults {
  const nft = async (namespace: string, text: string): Promise<void> => {
    await runIn(runner, namespace, ['nft', '-f', '-'], { stdin: text })
  }
  const providerOf = (gateway: string): string => {
    const provider = topology.providers.find((each) => each.gateway === gateway)
    if (provider === undefined) throw new Error(`${gateway} has no provider`)
    return provider.name
  }
  const nodeTable = (node: string): string => `cut_${node.replaceAll('-', '_')}`
  return {
    silenceProvider: (gateway, where) => nft(providerOf(gateway), silence(where)),
    unsilenceProvider: (gateway) => nft(providerOf(gateway), speak),
    // The switch's ports have the names of their nodes.
    cutNode: (node) => nft(UNDERLAY, cutTable(nodeTable(node), node)),
    healNode: (node) => nft(UNDERLAY, removeTable(nodeTable(node))),
  }
}

const speak = 'add table ip silence\ndelete table ip silence\n'

const silence = (where: 'endpoint' | 'tunnel'): string => `${speak}table ip silence {
  chain in {
    type filter hook prerouting priority raw; policy accept;
    ${where === 'endpoint' ? `iifname "wan" udp dport ${endpointPort}` : 'iifname "wg0"'} drop
  }
}
`
