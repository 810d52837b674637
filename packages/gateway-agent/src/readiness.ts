import type { ReconcileStatus } from '@vpn-gateway/reconcile'
import type { Readiness } from '@vpn-gateway/runtime'
import type { Health, TunnelState } from './health.ts'
import { sessionLife } from './wireguard.ts'

/** What readiness is judged by. */
export interface ReadinessInput {
  draining: boolean
  reconcile: ReconcileStatus
  state: TunnelState
  health: Health
  silence: number | undefined
  /** Unix seconds of the latest handshake of any peer; 0 before the first. Asked for only where an answer needs it. */
  latestHandshake: () => number
  /** Unix seconds. */
  now: number
  /** Problems of the tunnel file and its endpoints, one line each. */
  problems: readonly string[]
}

/** Ready when the kernel holds all that it should and the tunnel carries traffic; draining goes before all else. */
export function readinessOf(input: ReadinessInput): Readiness {
  if (input.draining) return { state: 'draining', reasons: ['draining: no new flows'] }
  const reasons: string[] = []
  if (!input.reconcile.converged) reasons.push(...input.reconcile.errors)
  if (!input.reconcile.converged && reasons.length === 0)
    reasons.push('the kernel does not hold all that it should yet')
  if (input.state !== 'up') reasons.push(whyNotUp(input), ...input.problems)
  return { state: reasons.length === 0 ? 'ready' : 'unready', reasons }
}

/** Tells a silent peer from a tunnel without internet behind it. */
function whyNotUp({ state, health, silence, latestHandshake, now }: ReadinessInput): string {
  const since =
    silence === undefined
      ? 'no answer through the tunnel yet'
      : `no answer through the tunnel for ${silence.toFixed(1)} s`
  const failures = Object.entries(health.failures).map(([target, failure]) => `${target}: ${failure}`)
  const probes = failures.length === 0 ? '' : ` (${failures.join('; ')})`
  if (state === 'starting') return `tunnel starting: ${since}${probes}`
  const handshake = latestHandshake()
  const age = Math.round(now - handshake)
  if (handshake === 0) return `tunnel down: no handshake with the peer yet${probes}`
  if (age > sessionLife) return `tunnel down: the last handshake was ${age} s ago${probes}`
  return `tunnel down: ${since}, though there was a handshake ${age} s ago${probes}`
}
