/** What a scrape shows, on whatever kernel this is: values of the kernel's own are in the kernel rung. */
import { readConntrackCount, readConntrackStats, readIpvs } from '@vpn-gateway/kernel'
import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { parseConntrackdStats, type ConntrackdStats } from '../src/conntrackd-stats.ts'
import { parseKeepalivedData, type KeepalivedData } from '../src/keepalived-data.ts'
import { createFamily } from '../src/metric-family.ts'
import { createRouterMetrics, type RouterMetrics } from '../src/metrics.ts'
import { addReading, countOrphans, type OrphanCounts, type OrphanSum } from '../src/orphans.ts'
import type { VrrpTransition } from '../src/vrrp.ts'
import { exampleRouter, recorded } from './router.ts'

interface Known {
  last?: VrrpTransition
  keepalived?: KeepalivedData | undefined
  conntrackd?: ConntrackdStats | undefined
  orphans?: OrphanCounts
}

function scraped(known: Known): { metrics: RouterMetrics; lines: () => Promise<string[]> } {
  const registry = new Registry()
  const metrics = createRouterMetrics(registry, {
    router: exampleRouter(),
    orphans: () => known.orphans,
    vrrp: { state: () => known.last?.to, last: () => known.last, holdsVip: () => false },
    daemons: [{ name: 'keepalived', state: 'running', restarts: 2 }],
    keepalived: () => known.keepalived,
    conntrackd: () => known.conntrackd,
    now: () => 15_000,
  })
  return { metrics, lines: async () => (await registry.metrics()).split('\n') }
}

test('what is not known has no series', async () => {
  const { lines } = scraped({})
  const names = (await lines()).filter((line) => !line.startsWith('#')).map((line) => line.split(/[ {]/)[0] ?? '')
  const has = (prefix: string) => names.some((name) => name.startsWith(prefix))
  expect(has('keepalived_')).toBe(false)
  expect(has('conntrackd_')).toBe(false)
  expect(has('vpn_gateway_vrrp_')).toBe(false)
  expect(has('vpn_gateway_orphan')).toBe(false)
  expect(has('ipvs_')).toBe((await readIpvs()) !== undefined)
  expect(has('nf_conntrack_entries')).toBe((await readConntrackCount()) !== undefined)
  expect(has('nf_conntrack_stat_')).toBe((await readConntrackStats()) !== undefined)
})

test('packets of unknown flows add up over rules that are replaced', async () => {
  const readings: OrphanCounts[] = [
    { dropped: 3 },
    { reset: 2, dropped: 4 },
    {},
    { reset: 1, dropped: 9 },
    { dropped: 2 },
  ]
  const sum = readings.reduce<OrphanSum | undefined>(addReading, undefined)
  expect(sum?.total).toEqual({ reset: 3, dropped: 15 })
  const { lines } = scraped({ orphans: sum?.total ?? {} })
  expect(await lines()).toEqual(
    expect.arrayContaining([
      'vpn_gateway_orphan_packets_total{verdict="reset"} 3',
      'vpn_gateway_orphan_packets_total{verdict="dropped"} 15',
    ]),
  )
})

test('keepalived shows under the names of its exporter, conntrackd under its own', async () => {
  const { lines } = scraped({
    last: { from: 'BACKUP', to: 'MASTER', cause: 'peer-silent', at: 5000 },
    keepalived: parseKeepalivedData(recorded('keepalived.json'), 'egress'),
    conntrackd: parseConntrackdStats(recorded('conntrackd-stats.txt')),
  })
  const labels = 'iname="egress",intf="net2",vrid="51"'
  expect(await lines()).toEqual(
    expect.arrayContaining([
      `keepalived_vrrp_state{${labels},ip_address="192.168.50.240"} 2`,
      `keepalived_advertisements_sent_total{${labels}} 12`,
      `keepalived_become_master_total{${labels}} 1`,
      `keepalived_priority_zero_received_total{${labels}} 0`,
      `vpn_gateway_vrrp_priority{${labels}} 250`,
      'vpn_gateway_vrrp_last_transition_timestamp_seconds 5',
      'vpn_gateway_vrrp_since_transition_seconds 10',
      'vpn_gateway_daemon_restarts_total{daemon="keepalived"} 2',
      'conntrackd_cached_flows 303',
      'conntrackd_flows_total{table="injected",event="created",result="done"} 49',
      'conntrackd_sync_bad_messages_total{fault="lost"} 50',
    ]),
  )
})

test('a failover is a backup that became master', async () => {
  const { metrics, lines } = scraped({})
  metrics.transition({ from: undefined, to: 'MASTER', cause: 'start', at: 1 })
  metrics.transition({ from: 'MASTER', to: 'BACKUP', cause: 'peer-preferred', at: 2 })
  metrics.transition({ from: 'BACKUP', to: 'MASTER', cause: 'peer-left', at: 3 })
  expect((await lines()).filter((line) => line.startsWith('vpn_gateway_failovers_total{'))).toEqual([
    'vpn_gateway_failovers_total{cause="peer-left"} 1',
  ])
})

test('metrics of one family share one reading, and a failed one leaves nothing of the last', async () => {
  const registry = new Registry()
  let readings = 0
  const family = createFamily(
    registry,
    (_name, collect) => async () => {
      await Promise.resolve(collect()).catch(() => undefined)
    },
    'some',
    async () => {
      readings += 1
      if (readings > 1) throw new Error('gone')
      return 7
    },
  )
  family.gauge('one', 'One.', (value) => value)
  family.counters('two', 'Two.', ['gateway'], (value) => [
    [{ gateway: 'a' }, value],
    [{ gateway: 'a' }, 1],
  ])
  const first = await registry.metrics()
  expect(first).toContain('\none 7\n')
  expect(first).toContain('two{gateway="a"} 8')
  expect(readings).toBe(1)
  const second = await registry.metrics()
  expect(second.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([])
})

describe("keepalived's dump", () => {
  test('names what it runs', () => {
    expect(parseKeepalivedData(recorded('keepalived.json'), 'egress')).toMatchObject({
      effectivePriority: 250,
      basePriority: 250,
      advertInterval: 0.2,
      state: 2,
    })
  })

  test.each([
    '',
    '[{"data":',
    '{}',
    '[]',
    '[{}]',
    '[null]',
    '[{"data":null}]',
    recorded('keepalived.json').replace('egress', 'other'),
  ])('half written or of another instance is none', (text) => {
    expect(parseKeepalivedData(text, 'egress')).toBeUndefined()
  })
})

test('orphans are counted by what became of them', () => {
  expect(
    countOrphans([
      {
        rule: 'iifname "net1" meta mark 0x00000001 meta l4proto tcp counter reject with tcp reset',
        packets: 3,
        bytes: 1,
      },
      {
        rule: 'iifname "net1" meta mark 0x00010000 meta l4proto tcp counter reject with tcp reset',
        packets: 4,
        bytes: 1,
      },
      { rule: 'iifname "net1" meta mark 0x00000001 counter reject with icmp admin-prohibited', packets: 2, bytes: 1 },
    ]),
  ).toEqual({ reset: 7, refused: 2 })
  expect(countOrphans([{ rule: 'iifname "net1" meta mark 0x00000001 counter drop', packets: 5, bytes: 1 }])).toEqual({
    dropped: 5,
  })
})
