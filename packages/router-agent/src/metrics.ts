import { createCollector, type SupervisedDaemon } from '@vpn-gateway/runtime'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { ConntrackdStats } from './conntrackd-stats.ts'
import { registerConntrack, registerConntrackd } from './metrics-conntrack.ts'
import { registerIpvs } from './metrics-ipvs.ts'
import type { OrphanCounts } from './orphans.ts'
import { registerVrrp, type VrrpMetricsSources } from './metrics-vrrp.ts'
import type { VrrpTransition } from './vrrp.ts'

export interface MetricsSources extends VrrpMetricsSources {
  daemons: readonly Pick<SupervisedDaemon, 'name' | 'state' | 'restarts'>[]
  /** What conntrackd answered last. */
  conntrackd: () => ConntrackdStats | undefined
  /** Packets of unknown flows, as last read. */
  orphans: () => OrphanCounts | undefined
}

export interface RouterMetrics {
  transition(transition: VrrpTransition): void
}

/**
 * The router's metrics. All of them come from counters and lists of servers: none walks a connection table, none starts a
 * process or waits for a daemon. What cannot be read is absent.
 */
export function createRouterMetrics(registry: Registry, sources: MetricsSources): RouterMetrics {
  const collector = createCollector(registry)
  registerIpvs(registry, collector, sources.orphans)
  registerConntrack(registry, collector)
  registerConntrackd(registry, collector, sources.conntrackd)
  registerDaemons(registry, sources.daemons)
  return { transition: registerVrrp(registry, collector, sources) }
}

function registerDaemons(registry: Registry, daemons: MetricsSources['daemons']): void {
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
