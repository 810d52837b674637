/** IPVS under the names of node_exporter's collector without its prefix. Never walks the table of connections. */
import { readIpvs, readIpvsStats, type IpvsStats, type RealServer, type VirtualService } from '@vpn-gateway/kernel'
import type { Collector } from '@vpn-gateway/runtime'
import type { Registry } from 'prom-client'
import { createFamily, type Sample } from './metric-family.ts'
import type { OrphanCounts } from './orphans.ts'

export function registerIpvs(
  registry: Registry,
  collector: Collector,
  countsOfOrphans: () => OrphanCounts | undefined,
): void {
  registerTotals(registry, collector)
  registerBackends(registry, collector)
  const orphans = createFamily<OrphanCounts>(registry, collector, 'orphans', async () => countsOfOrphans())
  orphans.counters(
    'vpn_gateway_orphan_packets_total',
    'Packets of flows that IPVS does not know, by verdict: reset (TCP), refused (ICMP error) or dropped. Read every 10 s.',
    ['verdict'],
    (counts) => Object.entries(counts).map(([verdict, packets]): Sample => [{ verdict }, packets]),
  )
}

function registerTotals(registry: Registry, collector: Collector): void {
  const family = createFamily<IpvsStats>(registry, collector, 'ipvs', readIpvsStats)
  const { counter, gauge } = family
  counter('ipvs_connections_total', 'Flows that IPVS has begun.', (stats) => stats.connections)
  counter(
    'ipvs_incoming_packets_total',
    'Packets from clients that IPVS has sent on.',
    (stats) => stats.incomingPackets,
  )
  counter('ipvs_incoming_bytes_total', 'Bytes from clients that IPVS has sent on.', (stats) => stats.incomingBytes)
  counter(
    'ipvs_outgoing_packets_total',
    'Packets of replies through IPVS: none with direct routing.',
    (stats) => stats.outgoingPackets,
  )
  counter(
    'ipvs_outgoing_bytes_total',
    'Bytes of replies through IPVS: none with direct routing.',
    (stats) => stats.outgoingBytes,
  )
  gauge(
    'ipvs_connections_per_second',
    "Flows begun a second, by the kernel's own estimate.",
    (stats) => stats.connectionsPerSecond,
  )
  gauge(
    'ipvs_incoming_packets_per_second',
    "Packets from clients a second, by the kernel's own estimate.",
    (stats) => stats.incomingPacketsPerSecond,
  )
  gauge(
    'ipvs_incoming_bytes_per_second',
    "Bytes from clients a second, by the kernel's own estimate.",
    (stats) => stats.incomingBytesPerSecond,
  )
}

function registerBackends(registry: Registry, collector: Collector): void {
  const family = createFamily<VirtualService[]>(registry, collector, 'ipvs_backends', readIpvs)
  const labelNames = ['local_address', 'local_port', 'remote_address', 'remote_port', 'proto', 'local_mark']
  const backend = (name: string, help: string, of: (server: RealServer) => number) =>
    family.gauges(name, help, labelNames, (services) => backends(services, of))
  backend(
    'ipvs_backend_connections_active',
    'Flows in an established state, by gateway.',
    (server) => server.activeConnections,
  )
  backend(
    'ipvs_backend_connections_inactive',
    'Flows that begin or end, and all of UDP, by gateway.',
    (server) => server.inactiveConnections,
  )
  backend('ipvs_backend_weight', 'Weight of a gateway; 0 takes no new flows.', (server) => server.weight)
  family.gauges(
    'vpn_gateway_flows',
    'Flows through a gateway, over all virtual services.',
    ['gateway', 'state'],
    flowsPerGateway,
  )
}

function* backends(services: readonly VirtualService[], of: (server: RealServer) => number): Generator<Sample> {
  for (const service of services) {
    const mark = service.protocol === 'FWM'
    for (const server of service.realServers) {
      const labels = {
        local_address: mark ? '' : service.address,
        local_port: mark ? '0' : String(service.port),
        remote_address: server.address,
        remote_port: String(server.port),
        proto: service.protocol,
        local_mark: mark ? service.fwmark.toString(16).toUpperCase().padStart(8, '0') : '',
      }
      yield [labels, of(server)]
    }
  }
}

/** A gateway is a real server of every service: the samples of one gateway add up. */
function* flowsPerGateway(services: readonly VirtualService[]): Generator<Sample> {
  for (const { address, activeConnections, inactiveConnections } of services.flatMap(
    ({ realServers }) => realServers,
  )) {
    yield [{ gateway: address, state: 'active' }, activeConnections]
    yield [{ gateway: address, state: 'inactive' }, inactiveConnections]
  }
}
