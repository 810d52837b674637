import { createCollector } from '@vpn-gateway/runtime'
import { Gauge, type Registry } from 'prom-client'
import type { NodeStatus, NetworkStatus } from './status.ts'

/** Where the figures come from; `NodeStatus` has it all. */
export type MetricsSources = Pick<NodeStatus, 'networks' | 'modules' | 'underlay'>

/** The node's metrics; traffic and errors of links are left to the exporters that have them. */
export function registerNodeMetrics(registry: Registry, sources: MetricsSources): void {
  registerUnderlay(registry, sources)
  const collector = createCollector(registry)
  registerNetworks(registry, collector, sources)
  const missing = new Gauge({
    name: 'vpn_gateway_node_kernel_module_missing',
    help: '1 for each kernel module that is neither loaded nor built in and that something on this node needs.',
    labelNames: ['module', 'needed_by'] as string[],
    registers: [registry],
    collect: collector('modules', async () => {
      for (const { module, neededBy, present } of await sources.modules()) {
        missing.set({ module, needed_by: neededBy }, present ? 0 : 1)
      }
    }),
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
