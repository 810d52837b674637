import { createCollector } from '@vpn-gateway/runtime'
import { Gauge, type Registry } from 'prom-client'
import { findingNames } from './finding.ts'
import { isWanting } from './modules.ts'
import type { NodeStatus, NetworkStatus } from './status.ts'

/** Where the figures come from; `NodeStatus` has it all. */
export type MetricsSources = Pick<NodeStatus, 'networks' | 'modules' | 'underlay' | 'findings' | 'offloads' | 'peers'>

/** The node's metrics; traffic and errors of links are left to the exporters that have them. */
export function registerNodeMetrics(registry: Registry, sources: MetricsSources): void {
  registerUnderlay(registry, sources)
  const collector = createCollector(registry)
  registerNetworks(registry, collector, sources)
  registerFacts(registry, sources)
}

function registerFacts(registry: Registry, { modules, findings, offloads, peers }: MetricsSources): void {
  const registers = [registry]
  void new Gauge({
    name: 'vpn_gateway_node_kernel_module_missing',
    help: '1 for each kernel module for want of which something on this node will fail; 0 for the others that it needs.',
    labelNames: ['module', 'needed_by'] as string[],
    registers,
    collect() {
      for (const item of modules()) {
        this.set({ module: item.module, needed_by: item.neededBy }, isWanting(item) ? 1 : 0)
      }
    },
  })
  void new Gauge({
    name: 'vpn_gateway_node_findings',
    help: 'What the node does to the networks that somebody should look at, by kind; /v1/findings has the words.',
    labelNames: ['finding'] as string[],
    registers,
    collect() {
      for (const name of findingNames) {
        this.set({ finding: name }, findings().filter(({ finding }) => finding === name).length)
      }
    },
  })
  void new Gauge({
    name: 'vpn_gateway_node_offload',
    help: '1 for what the underlay device does for encapsulated frames; absent where ethtool is not there.',
    labelNames: ['feature'] as string[],
    registers,
    collect() {
      this.reset()
      for (const [feature, on] of Object.entries(offloads() ?? {})) this.set({ feature }, on ? 1 : 0)
    },
  })
  void new Gauge({
    name: 'vpn_gateway_node_peer_source_up',
    help: '1 while where the peers are known from can be asked.',
    labelNames: ['source'] as string[],
    registers,
    collect() {
      const { source, problem } = peers()
      this.set({ source }, problem === undefined ? 1 : 0)
    },
  })
}

function registerUnderlay(registry: Registry, { underlay }: MetricsSources): void {
  const registers = [registry]
  void new Gauge({
    name: 'vpn_gateway_node_underlay_mtu_bytes',
    help: 'MTU of the device that carries the encapsulated frames; absent while there is none.',
    labelNames: ['device'],
    registers,
    collect() {
      this.reset()
      const seen = underlay()
      if (seen !== undefined) this.set({ device: seen.device }, seen.mtu)
    },
  })
  void new Gauge({
    name: 'vpn_gateway_node_underlay_up',
    help: '1 while the underlay device is there and has carrier.',
    registers,
    collect() {
      this.set(underlay()?.carrier === true ? 1 : 0)
    },
  })
}

/** A value of a network, with the labels that it has beside the network's name. */
type Value = [labels: Record<string, string>, value: number | undefined]

function registerNetworks(
  registry: Registry,
  collector: ReturnType<typeof createCollector>,
  sources: MetricsSources,
): void {
  let networks: NetworkStatus[] = []
  const collect = collector('networks', async () => {
    networks = []
    networks = await sources.networks()
  })
  // A registry collects its metrics side by side; those of one scrape share one reading of the kernel.
  let reading: Promise<void> | undefined
  const read = () => (reading ??= collect().finally(() => (reading = undefined)))
  const gauge = (name: string, help: string, valuesOf: (network: NetworkStatus) => Value[], label?: string) => {
    void new Gauge({
      name: `vpn_gateway_node_${name}`,
      help,
      labelNames: ['network', ...(label === undefined ? [] : [label])] as string[],
      registers: [registry],
      async collect() {
        await read()
        this.reset()
        for (const network of networks) {
          for (const [labels, value] of valuesOf(network)) {
            if (value !== undefined) this.set({ network: network.network, ...labels }, value)
          }
        }
      },
    })
  }
  gauge(
    'link_up',
    "1 while the link is there, is the agent's, and is up.",
    ({ bridge, vxlan }) => [bridge, vxlan].map(({ name, state }) => [{ link: name }, state === 'up' ? 1 : 0]),
    'link',
  )
  gauge('network_mtu_bytes', 'Configured MTU of the network.', ({ mtu }) => [[{}, mtu.configured]])
  gauge('network_best_mtu_bytes', 'Largest MTU that the network can have on this node.', ({ mtu }) => [[{}, mtu.best]])
  gauge('network_ports', 'Ports of the bridge beside the VXLAN link.', ({ ports }) => [[{}, ports]])
  gauge('network_peers', 'Unicast peers that floods go to; absent with a multicast group.', ({ peers }) => [
    [{}, peers.configured?.length],
  ])
  gauge('network_peers_heard', 'Nodes that frames of the network came from lately.', ({ peers }) => [
    [{}, Object.keys(peers.heard).length],
  ])
}
