/** Connection tracking: the kernel's under node_exporter's names without its prefix, conntrackd's under its own. */
import { readConntrackCount, readConntrackStats, type ConntrackStats } from '@vpn-gateway/kernel'
import type { Collector } from '@vpn-gateway/runtime'
import type { Registry } from 'prom-client'
import type { ConntrackdStats } from './conntrackd-stats.ts'
import { createFamily, type Sample } from './metric-family.ts'

export function registerConntrack(registry: Registry, collector: Collector): void {
  const count = createFamily<{ entries: number; limit: number }>(registry, collector, 'conntrack', readConntrackCount)
  count.gauge('nf_conntrack_entries', 'Tracked connections in this network namespace.', ({ entries }) => entries)
  count.gauge('nf_conntrack_entries_limit', 'Most tracked connections.', ({ limit }) => limit)
  const stats = createFamily<ConntrackStats>(registry, collector, 'conntrack_stat', readConntrackStats)
  // Gauges in node_exporter, though the kernel only counts up.
  const stat = (name: string, help: string, of: (read: ConntrackStats) => number) =>
    stats.gauge(`nf_conntrack_stat_${name}`, help, of)
  stat('found', 'Lookups that found an entry.', (read) => read.found)
  stat('invalid', 'Packets that could not be tracked.', (read) => read.invalid)
  stat('ignore', 'Packets that were tracked already.', (read) => read.ignore)
  stat('insert', 'Entries inserted.', (read) => read.insert)
  stat('insert_failed', 'Entries that could not be inserted.', (read) => read.insertFailed)
  stat('drop', 'Packets dropped because no entry could be made, as in a full table.', (read) => read.drop)
  stat('early_drop', 'Entries given up early to make room.', (read) => read.earlyDrop)
  stat('search_restart', 'Lookups begun anew because the table changed its size.', (read) => read.searchRestart)
}

/** `latest` is what conntrackd answered last; undefined when it did not. */
export function registerConntrackd(
  registry: Registry,
  collector: Collector,
  latest: () => ConntrackdStats | undefined,
): void {
  const family = createFamily<ConntrackdStats>(registry, collector, 'conntrackd', () => {
    const stats = latest()
    if (stats === undefined) throw new Error('conntrackd does not answer')
    return stats
  })
  family.gauge(
    'conntrackd_cached_flows',
    'Flows that this router has seen by itself and tells the other ones.',
    ({ cached }) => cached,
  )
  family.counters(
    'conntrackd_flows_total',
    'Flows by table (cache: own, injected: from another router), event and result.',
    ['table', 'event', 'result'],
    objects,
  )
  const traffic = (name: string, help: string, label: string, of: (stats: ConntrackdStats) => Record<string, number>) =>
    family.counters(name, help, [label], (stats) =>
      Object.entries(of(stats)).map(([key, value]): Sample => [{ [label]: key }, value]),
    )
  traffic('conntrackd_sync_bytes_total', 'Bytes between the routers.', 'direction', (stats) => ({
    sent: stats.sentBytes,
    received: stats.receivedBytes,
  }))
  traffic('conntrackd_sync_packets_total', 'Packets between the routers.', 'direction', (stats) => ({
    sent: stats.sentPackets,
    received: stats.receivedPackets,
  }))
  traffic(
    'conntrackd_sync_errors_total',
    'Packets that could not be sent or received.',
    'direction',
    ({ sendErrors, receiveErrors }) => ({ sent: sendErrors, received: receiveErrors }),
  )
  traffic('conntrackd_sync_bad_messages_total', 'Messages that were malformed or lost.', 'fault', (stats) => ({
    malformed: stats.malformedMessages,
    lost: stats.lostMessages,
  }))
}

function* objects({ cache, injected }: ConntrackdStats): Generator<Sample> {
  for (const [table, counters] of Object.entries({ cache, injected })) {
    for (const [event, { total, failed }] of Object.entries(counters)) {
      yield [{ table, event, result: 'done' }, total]
      yield [{ table, event, result: 'failed' }, failed]
    }
  }
}
