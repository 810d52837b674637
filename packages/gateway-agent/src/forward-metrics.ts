import { Counter, Gauge, type Registry } from 'prom-client'
import type { LeaseWish } from './lease-server.ts'
import type { LeasedPort } from './leases.ts'

/** Takes what no scrape can ask for. */
export interface ForwardMetrics {
  /** `renewed`, or why a request got nothing. */
  leaseResult(wish: Pick<LeaseWish, 'name' | 'protocol'>, result: string): void
  hookResult(result: string): void
}

/** Metrics of leased ports and of the hook; how much went through a forward is counted elsewhere. */
export function createForwardMetrics(registry: Registry, leased: () => readonly LeasedPort[]): ForwardMetrics {
  const registers = [registry]
  const labelNames = ['name', 'protocol']
  const labels = ({ name, protocol }: Pick<LeaseWish, 'name' | 'protocol'>) => ({ name, protocol })
  const gauge = (name: string, help: string, value: (port: LeasedPort) => number | undefined) => {
    const metric: Gauge<string> = new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        metric.reset()
        for (const port of leased()) {
          const figure = value(port)
          if (figure !== undefined) metric.set(labels(port), figure)
        }
      },
    })
  }
  gauge(
    'vpn_gateway_forward_lease_expiry_seconds',
    'Unix time at which a leased port is lost unless it is renewed. Absent while none is held.',
    ({ expiresAt }) => expiresAt,
  )
  gauge(
    'vpn_gateway_forward_external_port',
    'Port at the exit that is leased. Absent while none is held.',
    ({ externalPort }) => externalPort,
  )
  const renewals = new Counter({
    name: 'vpn_gateway_forward_lease_renewals_total',
    help: 'Grants of a leased port, the first one included.',
    labelNames,
    registers,
  })
  const failures = new Counter({
    name: 'vpn_gateway_forward_lease_failures_total',
    help: 'Requests for a leased port that got nothing, by reason.',
    labelNames: [...labelNames, 'reason'],
    registers,
  })
  const calls = new Counter({
    name: 'vpn_gateway_forward_hook_calls_total',
    help: 'Calls of the hook of the forwards, by result.',
    labelNames: ['result'],
    registers,
  })
  return {
    leaseResult(wish, result) {
      if (result === 'renewed') renewals.inc(labels(wish))
      else failures.inc({ ...labels(wish), reason: result })
    },
    hookResult: (result) => calls.inc({ result }),
  }
}
