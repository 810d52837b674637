import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'

export type { Registry } from 'prom-client'

/** A registry of the agent's own, with the process' metrics and what it is. */
export function createRegistry(agent: string, version: string): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const info = new Gauge({
    name: 'vpn_gateway_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['agent', 'version', 'node'],
    registers: [registry],
  })
  info.set({ agent, version, node: process.version }, 1)
  return registry
}

/** Wraps a collector that reads the kernel: times it, and counts a failure instead of failing the whole scrape. */
export type Collector = (name: string, collect: () => Promise<void> | void) => () => Promise<void>

/** Makes the wrapper for one registry. */
export function createCollector(registry: Registry): Collector {
  const duration = new Gauge({
    name: 'vpn_gateway_scrape_collector_duration_seconds',
    help: 'Time of one collector at the last scrape.',
    labelNames: ['collector'],
    registers: [registry],
  })
  const success = new Gauge({
    name: 'vpn_gateway_scrape_collector_success',
    help: '1 when the collector worked at the last scrape.',
    labelNames: ['collector'],
    registers: [registry],
  })
  const failures = new Counter({
    name: 'vpn_gateway_scrape_collector_failures_total',
    help: 'Scrapes at which the collector failed.',
    labelNames: ['collector'],
    registers: [registry],
  })
  return (name, collect) => async () => {
    const started = performance.now()
    let worked = 1
    try {
      await collect()
    } catch {
      worked = 0
      failures.inc({ collector: name })
    }
    duration.set({ collector: name }, (performance.now() - started) / 1000)
    success.set({ collector: name }, worked)
  }
}
