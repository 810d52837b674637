/** Scrapes of a registry with collectors that fail, take their time, and fill each other's metrics. */
import { Gauge } from 'prom-client'
import { expect, test } from 'vitest'
import { createCollector, createLog, createRegistry } from '@vpn-gateway/runtime'
import { createScrape } from '../src/metrics.ts'

const log = createLog({ agent: 'test', name: 'test' }, 'silent')

test('a failing collector costs its own metric only, and the same scrape says so', async () => {
  const registry = createRegistry('test', '0')
  const collector = createCollector(registry)
  const registers = [registry]
  void new Gauge({ name: 'raw', help: 'x', registers, collect: () => Promise.reject(new Error('raw')) })
  void new Gauge({
    name: 'wrapped',
    help: 'x',
    registers,
    collect: collector('wrapped', () => Promise.reject(new Error('wrapped'))),
  })
  const fine: Gauge = new Gauge({ name: 'fine', help: 'x', registers, collect: collector('fine', () => fine.set(7)) })
  const text = await createScrape(registry, log)()
  expect(text).toContain('\nfine 7\n')
  expect(text).toContain('vpn_gateway_scrape_collector_success{collector="wrapped"} 0')
  expect(text).toContain('vpn_gateway_scrape_collector_success{collector="fine"} 1')
  expect(text).toContain('vpn_gateway_scrape_collector_failures_total{collector="wrapped"} 1')
  expect(text).toMatch(/vpn_gateway_scrape_collector_duration_seconds\{collector="fine"\} \d/)
})

test("what another metric's collector fills is of this scrape, and each collector runs once a scrape", async () => {
  const registry = createRegistry('test', '0')
  let runs = 0
  const before = new Gauge({ name: 'filled', help: 'x', registers: [registry] })
  void new Gauge({
    name: 'collecting',
    help: 'x',
    registers: [registry],
    async collect() {
      await new Promise(setImmediate)
      runs += 1
      before.set(runs)
    },
  })
  const scrape = createScrape(registry, log)
  expect(await scrape()).toContain('\nfilled 1\n')
  const together = await Promise.all([scrape(), scrape()])
  expect(together.every((text) => text.includes('\nfilled 2\n'))).toBe(true)
  const late: Gauge = new Gauge({ name: 'late', help: 'x', registers: [registry], collect: () => late.set(5) })
  expect(await scrape()).toContain('\nlate 5')
})
