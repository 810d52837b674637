import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { Log } from './log.ts'

export type { Registry } from 'prom-client'

/**
 * Milliseconds between samples of the event loop's delay and of its use. The library's defaults, 10 and 100, wake the
 * process over a hundred times a second, more than all its work does.
 */
const eventLoopSampling = { eventLoopMonitoringPrecision: 500, eventLoopUtilizationTimeout: 5000 }

/** A registry of the agent's own, with the process' metrics and what it is. */
export function createRegistry(agent: string, version: string): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, ...eventLoopSampling })
  const info = new Gauge({
    name: 'vpn_gateway_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['agent', 'version', 'node'],
    registers: [registry],
  })
  info.set({ agent, version, node: process.version }, 1)
  return registry
}

/**
 * Makes the answer to a scrape. The client library prints a metric as soon as its own collector is done, so that one which
 * another's collector fills would be a scrape behind, and one failing collector fails the scrape. Here all of them run
 * first, a failure is logged and leaves only its own metrics as they were. Scrapes at the same time share one run.
 */
export function createScrape(registry: Registry, log: Log): () => Promise<string> {
  const collectors = new Map<string, () => Promise<void>>()
  let running: Promise<string> | undefined

  function takeCollectors(): void {
    for (const metric of registry.getMetricsAsArray()) {
      const { collect } = metric
      // The declared type says that every metric has one.
      if (typeof collect !== 'function') continue
      Object.assign(metric, { collect: undefined })
      collectors.set(metric.name, async () => collect.call(metric))
    }
  }

  async function scrape(): Promise<string> {
    takeCollectors()
    await Promise.all(
      Array.from(collectors, async ([metric, collect]) => {
        try {
          await collect()
        } catch (error) {
          log.error({ metric, error: error instanceof Error ? error.message : String(error) }, 'collecting failed')
        }
      }),
    )
    return registry.metrics()
  }

  return () => (running ??= scrape().finally(() => (running = undefined)))
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
