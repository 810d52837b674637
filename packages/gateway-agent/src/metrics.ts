import { readConntrackCount, type WireguardPeer } from '@vpn-gateway/kernel'
import { createCollector, shared, type Collector } from '@vpn-gateway/runtime'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { ProbeResult } from './health.ts'
import { rotationReasons, type RecoveryAction } from './recovery.ts'
import type { ForwardStatus, GatewayStatus } from './status.ts'
import { tunnelLink } from './wireguard.ts'

/** Where the figures come from; `GatewayStatus` has it all. */
export type MetricsSources = Pick<
  GatewayStatus,
  'device' | 'forwards' | 'carries' | 'draining' | 'exitAddress' | 'implementation' | 'file' | 'fileProblems'
>

/** Takes what no scrape can ask for. */
export interface GatewayMetrics {
  probe(result: ProbeResult): void
  recovery(action: RecoveryAction): void
  healthAddressMissing(): void
}

/** The gateway's metrics; those of WireGuard bear the names and labels of the exporters that exist. */
export function createGatewayMetrics(registry: Registry, sources: MetricsSources): GatewayMetrics {
  const collector = createCollector(registry)
  registerWireguard(registry, sources, collector)
  registerForwards(registry, sources, collector)
  registerState(registry, sources)
  registerExit(registry, sources)
  registerTunnel(registry, sources)
  registerConntrack(registry, collector)
  const registers = [registry]
  const latency = new Histogram({
    name: 'vpn_gateway_tunnel_probe_duration_seconds',
    help: 'Time from a probe to its answer through the tunnel.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  const probes = new Counter({
    name: 'vpn_gateway_tunnel_probes_total',
    help: 'Probes through the tunnel, by target and result.',
    labelNames: ['target', 'result'],
    registers,
  })
  const actions = new Counter({
    name: 'vpn_gateway_tunnel_recoveries_total',
    help: 'What was done about a tunnel that was down, by action.',
    labelNames: ['action'],
    registers,
  })
  for (const action of ['resolve', 'handshake', 'rotate']) actions.inc({ action }, 0)
  const rotations = new Counter({
    name: 'vpn_gateway_tunnel_rotations_total',
    help: 'Times that the tunnel went on to another endpoint, by what was wrong with the one before.',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of rotationReasons) rotations.inc({ reason }, 0)
  const restored = new Counter({
    name: 'vpn_gateway_health_address_restored_total',
    help: 'Times that the address which routers ping was taken away by somebody else and put back.',
    registers,
  })
  return {
    healthAddressMissing: () => restored.inc(),
    recovery(action) {
      actions.inc({ action: action.kind })
      if (action.kind === 'rotate') rotations.inc({ reason: action.reason })
    },
    probe(result) {
      const answered = 'latency' in result
      probes.inc({ target: result.target, result: answered ? 'answered' : 'failed' })
      if (answered) latency.observe(result.latency)
    },
  }
}

/** Each metric empties itself before it is filled: a peer that is gone must not stay as a series that stands still. */
function registerWireguard(registry: Registry, sources: MetricsSources, collector: Collector): void {
  let peers: readonly WireguardPeer[] = []
  const refresh = shared(
    collector('wireguard', async () => {
      peers = []
      peers = (await sources.device())?.peers ?? []
    }),
  )
  const common = { labelNames: ['interface', 'public_key'], registers: [registry] }
  const labels = ({ publicKey }: WireguardPeer) => ({ interface: tunnelLink, public_key: publicKey })
  const handshake = new Gauge({
    ...common,
    name: 'wireguard_latest_handshake_seconds',
    help: 'Unix time of the latest handshake with the peer; 0 before the first.',
    async collect() {
      await refresh()
      handshake.reset()
      for (const peer of peers) handshake.set(labels(peer), peer.latestHandshake)
    },
  })
  const bytes = (direction: 'sent' | 'received', help: string) => {
    const counter = new Counter({
      ...common,
      name: `wireguard_${direction}_bytes_total`,
      help,
      async collect() {
        await refresh()
        counter.reset()
        for (const peer of peers) counter.inc(labels(peer), peer[direction])
      },
    })
  }
  bytes('sent', 'Bytes sent to the peer.')
  bytes('received', 'Bytes received from the peer.')
}

function registerForwards(registry: Registry, sources: MetricsSources, collector: Collector): void {
  let forwards: readonly ForwardStatus[] = []
  const refresh = shared(
    collector('forwards', async () => {
      forwards = []
      forwards = await sources.forwards()
    }),
  )
  const count = (what: 'packets' | 'bytes', help: string) => {
    const counter = new Counter({
      name: `vpn_gateway_forward_${what}_total`,
      help,
      labelNames: ['name', 'protocol', 'port'],
      registers: [registry],
      async collect() {
        await refresh()
        counter.reset()
        for (const forward of forwards) {
          const { name, protocol, port } = forward
          counter.inc({ name, protocol, port: String(port ?? '') }, forward[what])
        }
      },
    })
  }
  count('packets', 'Packets from the internet to the service, by forward.')
  count('bytes', 'Bytes from the internet to the service, by forward.')
}

function registerState(registry: Registry, sources: MetricsSources): void {
  const state = (name: string, help: string, holds: () => boolean) => {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        gauge.set(holds() ? 1 : 0)
      },
    })
  }
  state('vpn_gateway_tunnel_up', '1 while answers come through the tunnel.', sources.carries)
  state('vpn_gateway_draining', '1 while the gateway asks for no new flows.', sources.draining)
}

function registerTunnel(registry: Registry, sources: MetricsSources): void {
  const info = new Gauge({
    name: 'vpn_gateway_tunnel_info',
    help: 'Always 1; the labels say what carries the tunnel (kernel or userspace) and which file it is from.',
    labelNames: ['implementation', 'file'],
    registers: [registry],
    collect() {
      info.reset()
      info.set({ implementation: sources.implementation, file: sources.file() }, 1)
    },
  })
  const problems: Gauge = new Gauge({
    name: 'vpn_gateway_tunnel_file_problems',
    help: 'What is wrong with the tunnel files as they are now; what they held before is in use.',
    registers: [registry],
    collect() {
      problems.set(sources.fileProblems().length)
    },
  })
}

function registerExit(registry: Registry, sources: MetricsSources): void {
  const info = new Gauge({
    name: 'vpn_gateway_exit_info',
    help: 'Always 1; the label is the public address that traffic leaves with. Absent while unknown.',
    labelNames: ['address'],
    registers: [registry],
    collect() {
      info.reset()
      const exit = sources.exitAddress()
      if (exit !== undefined) info.set({ address: exit.address }, 1)
    },
  })
}

/** A full table refuses new flows; the names are node_exporter's without its prefix. No series without nf_conntrack. */
function registerConntrack(registry: Registry, collector: Collector): void {
  let count: Awaited<ReturnType<typeof readConntrackCount>>
  const refresh = shared(
    collector('conntrack', async () => {
      count = await readConntrackCount()
    }),
  )
  const gauge = (name: string, help: string, field: 'entries' | 'limit') => {
    const metric: Gauge = new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        await refresh()
        if (count === undefined) metric.remove()
        else metric.set(count[field])
      },
    })
  }
  gauge('nf_conntrack_entries', 'Tracked connections in this network namespace.', 'entries')
  gauge('nf_conntrack_entries_limit', 'Most tracked connections.', 'limit')
}
