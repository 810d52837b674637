import type { Collector } from '@vpn-gateway/runtime'
import { Counter, Gauge, type Registry } from 'prom-client'

/** A value with its labels. */
export type Sample = readonly [labels: Record<string, string>, value: number]

/** Metrics that one reading fills. What the reading does not yield has no series: absent is not zero. */
export interface Family<T> {
  gauge: (name: string, help: string, value: (read: T) => number | undefined) => void
  counter: (name: string, help: string, value: (read: T) => number | undefined) => void
  gauges: (name: string, help: string, labelNames: readonly string[], samples: (read: T) => Iterable<Sample>) => void
  counters: (name: string, help: string, labelNames: readonly string[], samples: (read: T) => Iterable<Sample>) => void
}

/** Makes a family whose metrics share one reading a scrape; `read` resolves to undefined for what is not there. */
export function createFamily<T>(
  registry: Registry,
  collector: Collector,
  name: string,
  read: () => Promise<T | undefined> | T | undefined,
): Family<T> {
  let value: T | undefined
  let running: Promise<void> | undefined
  const collect = collector(name, async () => {
    value = undefined
    value = await read()
  })
  const refresh = () => (running ??= collect().finally(() => (running = undefined)))

  function register(
    kind: 'gauge' | 'counter',
    metricName: string,
    help: string,
    labelNames: readonly string[],
    samples: (read: T) => Iterable<Sample>,
  ): void {
    const configuration = {
      name: metricName,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      async collect(): Promise<void> {
        await refresh()
        // Without labels a reset would leave a zero.
        if (labelNames.length === 0) metric.remove()
        else metric.reset()
        if (value === undefined) return
        for (const [labels, sample] of samples(value)) metric.inc(labels, sample)
      },
    }
    const metric = kind === 'gauge' ? new Gauge(configuration) : new Counter(configuration)
  }
  const single = (of: (seen: T) => number | undefined) => (seen: T) => {
    const sample = of(seen)
    return sample === undefined ? [] : [[{}, sample] as const]
  }
  return {
    gauge: (metric, help, of) => register('gauge', metric, help, [], single(of)),
    counter: (metric, help, of) => register('counter', metric, help, [], single(of)),
    gauges: (metric, help, labelNames, samples) => register('gauge', metric, help, labelNames, samples),
    counters: (metric, help, labelNames, samples) => register('counter', metric, help, labelNames, samples),
  }
}
