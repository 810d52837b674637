/** Faults of what lies between and behind the pods: the nodes' underlay and the providers. */
import { providerOf, type LabContext } from '../context.ts'
import { UNDERLAY, endpointPort } from '../topology/addresses.ts'
import { runIn } from '../topology/namespace.ts'
import { cutTable, removeTable } from './cut-table.ts'

export interface NetworkFaults {
  /**
   * A gateway's provider drops what comes in: at its `endpoint` all of WireGuard, which then hears nothing but what is sent
   * to its other one; in the `tunnel` what was decrypted, while hands are shaken as ever.
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
  const nodeTable = (node: string): string => `cut_${node.replaceAll('-', '_')}`
  return {
    silenceProvider(gateway, where) {
      const { name, endpoint } = providerOf(topology, gateway)
      const what = where === 'endpoint' ? `ip daddr ${endpoint} udp dport ${endpointPort}` : 'iifname "wg0"'
      return nft(name, silence(what))
    },
    unsilenceProvider: (gateway) => nft(providerOf(topology, gateway).name, speak),
    // The switch's ports have the names of their nodes.
    cutNode: (node) => nft(UNDERLAY, cutTable(nodeTable(node), node)),
    healNode: (node) => nft(UNDERLAY, removeTable(nodeTable(node))),
  }
}

const speak = 'add table ip silence\ndelete table ip silence\n'

const silence = (what: string): string => `${speak}table ip silence {
  chain in {
    type filter hook prerouting priority raw; policy accept;
    ${what} drop
  }
}
`
