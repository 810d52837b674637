import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Step } from './step.ts'

export type MetricsRegistry = Registry

export interface ReconcileMetrics {
  /** `seconds` is the time that the pass took. */
  pass(converged: boolean, seconds: number): void
  step(step: Step): void
  drift(step: Step): void
}

/** The reconcile loop's metrics, registered once a registry. */
export function createReconcileMetrics(registry: Registry): ReconcileMetrics {
  const registers = [registry]
  const passes = new Counter({ name: 'reconcile_passes_total', help: 'Passes of the reconcile loop.', registers })
  const steps = new Counter({
    name: 'reconcile_steps_total',
    help: 'Changes made to the kernel, by object and action.',
    labelNames: ['object', 'action'],
    registers,
  })
  const drift = new Counter({
    name: 'reconcile_drift_repaired_total',
    help: 'Changes of somebody else that were undone, by object.',
    labelNames: ['object'],
    registers,
  })
  const converged = new Gauge({
    name: 'reconcile_converged',
    help: '1 when the kernel held all that is desired at the last pass.',
    registers,
  })
  const duration = new Histogram({
    name: 'reconcile_duration_seconds',
    help: 'Time of one pass.',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  return {
    pass(ok, seconds) {
      passes.inc()
      converged.set(ok ? 1 : 0)
      duration.observe(seconds)
    },
    step: ({ object, action }) => steps.inc({ object, action }),
    drift: ({ object }) => drift.inc({ object }),
  }
}
