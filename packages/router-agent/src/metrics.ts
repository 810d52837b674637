import { readConntrackCount, readIpvs, readIpvsStats } from '@vpn-gateway/kernel'
import { createCollector, type Collector, type SupervisedDaemon } from '@vpn-gateway/runtime'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { ConntrackdStats, ObjectCounters } from './conntrackd-stats.ts'
import { vrrpInstance } from './keepalived.ts'
import type { Router } from './router.ts'
import type { Vrrp, VrrpState, VrrpTransition } from './vrrp.ts'

export interface MetricsSources {
  router: Router
  vrrp: Vrrp
  daemons: readonly SupervisedDaemon[]
  conntrackd: () => Promise<ConntrackdStats | undefined>
}

export interface RouterMetrics {
  transition(transition: VrrpTransition): void
}

/**
 * The router's metrics. Those of IPVS and conntrack bear the names of node_exporter without its prefix, VRRP's those of
 * keepalived-exporter. All of them come from counters and lists of servers: none walks a connection table.
 */
export function createRouterMetrics(registry: Registry, sources: MetricsSources): RouterMetrics {
  const collector = createCollector(registry)
  registerIpvs(registry, collector)
  registerConntrack(registry, collector)
  registerConntrackd(registry, collector, sources.conntrackd)
  registerDaemons(registry, sources.daemons)
  return registerVrrp(registry, sources)
}

function registerIpvs(registry: Registry, collector: Collector): void {
  const registers = [registry]
  const total = (name: string, help: string) => new Counter({ name, help, registers })
  const packetsIn = total('ipvs_incoming_packets_total', 'Packets from clients that IPVS has sent on.')
  const bytesIn = total('ipvs_incoming_bytes_total', 'Bytes from clients that IPVS has sent on.')
  const packetsOut = total('ipvs_outgoing_packets_total', 'Packets of replies through IPVS: none with direct routing.')
  const bytesOut = total('ipvs_outgoing_bytes_total', 'Bytes of replies through IPVS: none with direct routing.')
  const connections = total('ipvs_connections_total', 'Flows that IPVS has begun.')
  void new Gauge({
    name: 'ipvs_connections_per_second',
    help: "Flows begun a second, by the kernel's own estimate.",
    registers,
    collect: collector('ipvs', async function collect(): Promise<void> {
      const stats = await readIpvsStats()
      for (const counter of [packetsIn, bytesIn, packetsOut, bytesOut, connections]) counter.reset()
      if (stats === undefined) return
      connections.inc(stats.connections)
      packetsIn.inc(stats.incomingPackets)
      bytesIn.inc(stats.incomingBytes)
      packetsOut.inc(stats.outgoingPackets)
      bytesOut.inc(stats.outgoingBytes)
      rate.set(stats.connectionsPerSecond)
    }),
  })
  const rate = registry.getSingleMetric('ipvs_connections_per_second') as Gauge<string>
  registerBackends(registry, collector)
}

function registerBackends(registry: Registry, collector: Collector): void {
  const registers = [registry]
  const labelNames = ['local_address', 'local_port', 'remote_address', 'remote_port', 'proto', 'local_mark']
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames, registers })
  const active = gauge('ipvs_backend_connections_active', 'Flows in an established state, by gateway.')
  const inactive = gauge('ipvs_backend_connections_inactive', 'Flows that begin or end, by gateway.')
  const weight: Gauge<string> = new Gauge({
    name: 'ipvs_backend_weight',
    help: 'Weight of a gateway; 0 takes no new flows.',
    labelNames,
    registers,
    collect: collector('ipvs_backends', async () => {
      const services = await readIpvs()
      for (const metric of [active, inactive, weight]) metric.reset()
      for (const service of services ?? []) {
        for (const server of service.realServers) {
          const mark = service.protocol === 'FWM'
          const labels = {
            local_address: mark ? '' : service.address,
            local_port: mark ? '0' : String(service.port),
            remote_address: server.address,
            remote_port: String(server.port),
            proto: service.protocol,
            local_mark: mark ? service.fwmark.toString(16).toUpperCase().padStart(8, '0') : '',
          }
          active.set(labels, server.activeConnections)
          inactive.set(labels, server.inactiveConnections)
          weight.set(labels, server.weight)
        }
      }
    }),
  })
}

function registerConntrack(registry: Registry, collector: Collector): void {
  const registers = [registry]
  const limit = new Gauge({ name: 'nf_conntrack_entries_limit', help: 'Most tracked connections.', registers })
  const entries: Gauge<string> = new Gauge({
    name: 'nf_conntrack_entries',
    help: 'Tracked connections in this network namespace.',
    registers,
    collect: collector('conntrack', async () => {
      const count = await readConntrackCount()
      if (count === undefined) return
      entries.set(count.entries)
      limit.set(count.limit)
    }),
  })
}

function registerConntrackd(registry: Registry, collector: Collector, read: MetricsSources['conntrackd']): void {
  const registers = [registry]
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers })
  const objects = counter(
    'conntrackd_flows_total',
    'Flows by table (cache: own, injected: from the other router), event and result.',
    ['table', 'event', 'result'],
  )
  const bytes = counter('conntrackd_sync_bytes_total', 'Bytes between the routers.', ['direction'])
  const packets = counter('conntrackd_sync_packets_total', 'Packets between the routers.', ['direction'])
  const errors = counter('conntrackd_sync_errors_total', 'Packets that could not be sent or received.', ['direction'])
  const messages = counter('conntrackd_sync_bad_messages_total', 'Messages that were malformed or lost.', ['fault'])
  const cached: Gauge<string> = new Gauge({
    name: 'conntrackd_cached_flows',
    help: 'Flows that this router has seen by itself and tells the other one.',
    registers,
    collect: collector('conntrackd', async () => {
      const stats = await read()
      for (const metric of [objects, bytes, packets, errors, messages]) metric.reset()
      if (stats === undefined) throw new Error('conntrackd does not answer')
      cached.set(stats.cached)
      countObjects('cache', stats.cache)
      countObjects('injected', stats.injected)
      bytes.inc({ direction: 'sent' }, stats.sentBytes)
      bytes.inc({ direction: 'received' }, stats.receivedBytes)
      packets.inc({ direction: 'sent' }, stats.sentPackets)
      packets.inc({ direction: 'received' }, stats.receivedPackets)
      errors.inc({ direction: 'sent' }, stats.sendErrors)
      errors.inc({ direction: 'received' }, stats.receiveErrors)
      messages.inc({ fault: 'malformed' }, stats.malformedMessages)
      messages.inc({ fault: 'lost' }, stats.lostMessages)
    }),
  })
  function countObjects(table: string, counters: ObjectCounters): void {
    for (const [event, { total, failed }] of Object.entries(counters)) {
      objects.inc({ table, event, result: 'done' }, total)
      objects.inc({ table, event, result: 'failed' }, failed)
    }
  }
}

function registerDaemons(registry: Registry, daemons: readonly SupervisedDaemon[]): void {
  const registers = [registry]
  const restarts: Counter<string> = new Counter({
    name: 'vpn_gateway_daemon_restarts_total',
    help: 'Starts of a daemon after its first.',
    labelNames: ['daemon'],
    registers,
    collect() {
      restarts.reset()
      for (const { name, restarts: count } of daemons) restarts.inc({ daemon: name }, count)
    },
  })
  const up: Gauge<string> = new Gauge({
    name: 'vpn_gateway_daemon_up',
    help: '1 while the daemon runs and does not crash-loop.',
    labelNames: ['daemon'],
    registers,
    collect() {
      for (const { name, state } of daemons) up.set({ daemon: name }, state === 'running' ? 1 : 0)
    },
  })
}

/** Numbers of keepalived's states in its SNMP MIB, which keepalived-exporter shows too. */
const stateNumbers: Readonly<Record<VrrpState, number>> = { BACKUP: 1, MASTER: 2, FAULT: 3, STOP: 0 }

function registerVrrp(registry: Registry, { router, vrrp }: MetricsSources): RouterMetrics {
  const registers = [registry]
  const labels = {
    iname: vrrpInstance,
    intf: router.syncLink,
    vrid: String(router.system.router.virtualRouterId),
    ip_address: router.plan.vip,
  }
  const state: Gauge<string> = new Gauge({
    name: 'keepalived_vrrp_state',
    help: 'State of the VRRP instance: 0 init or stopped, 1 backup, 2 master, 3 fault.',
    labelNames: Object.keys(labels),
    registers,
    collect() {
      state.set(labels, stateNumbers[vrrp.state() ?? 'STOP'])
    },
  })
  const holds: Gauge<string> = new Gauge({
    name: 'vpn_gateway_vip_held',
    help: '1 while this router has the VIP.',
    registers,
    collect() {
      holds.set(vrrp.holdsVip() ? 1 : 0)
    },
  })
  const transitions = new Counter({
    name: 'vpn_gateway_vrrp_transitions_total',
    help: 'Changes of the VRRP state, by the new state and the cause.',
    labelNames: ['to', 'cause'],
    registers,
  })
  const since: Gauge<string> = new Gauge({
    name: 'vpn_gateway_vrrp_last_transition_timestamp_seconds',
    help: 'Unix time of the last change of the VRRP state; 0 before the first.',
    registers,
    collect() {
      since.set((vrrp.last()?.at ?? 0) / 1000)
    },
  })
  return { transition: ({ to, cause }) => transitions.inc({ to, cause }) }
}
