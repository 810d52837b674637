/**
 * Whether the tunnel carries traffic, judged by answers that came through it. Pure: time comes in, decisions go out. A
 * handshake proves the peer, not the internet behind it, and received bytes may be the peer's own; only an answer from a
 * target counts. One answer of any target is enough; a lost packet is followed by a burst before anything is called dead.
 */

export interface HealthSettings {
  /** Seconds between two probes while all is well. */
  interval: number
  /** Seconds that one probe may take. */
  timeout: number
  /** Seconds without any answer after which the tunnel is down. */
  window: number
}

/** `starting` until the first answer, at most for one window. */
export type TunnelState = 'starting' | 'up' | 'down'

/** Times are seconds of a clock that never goes back. */
export interface Health {
  readonly startedAt: number
  readonly lastAnswerAt?: number
  readonly lastProbeAt?: number
  /** Probes begun, which picks the next target. */
  readonly begun: number
  /** Seconds that the last answer took. */
  readonly latency?: number
  /** Last failure by target; a target that answers leaves. */
  readonly failures: Readonly<Record<string, string>>
}

/** How one probe ended; `at` is when, in seconds. */
export type ProbeResult =
  | { target: string; at: number; latency: number }
  | { target: string; at: number; failure: string }

/** Seconds between the probes of a burst, and how much later than due an answer starts one. */
const burstInterval = 0.25
const patience = 0.5
/** Windows without an answer after which bursts end: nobody is helped by haste any more. */
const burstWindows = 5

/** Before the first probe. */
export function initialHealth(now: number): Health {
  return { startedAt: now, begun: 0, failures: {} }
}

/** What a result changes. */
export function afterProbe(health: Health, result: ProbeResult): Health {
  if ('failure' in result) return { ...health, failures: { ...health.failures, [result.target]: result.failure } }
  const failures = Object.fromEntries(Object.entries(health.failures).filter(([target]) => target !== result.target))
  const lastAnswerAt = Math.max(health.lastAnswerAt ?? result.at, result.at)
  return { ...health, lastAnswerAt, latency: result.latency, failures }
}

/** The tunnel's state at a time; it is down by time alone, also when no probe could be made. */
export function tunnelState(health: Health, now: number, settings: HealthSettings): TunnelState {
  const { lastAnswerAt, startedAt } = health
  if (lastAnswerAt !== undefined) return now - lastAnswerAt <= settings.window ? 'up' : 'down'
  return now - startedAt <= settings.window ? 'starting' : 'down'
}

/** Targets to probe now, and the health that knows of it. One in turn while all is well, all of them in a burst. */
export function dueProbes(
  health: Health,
  now: number,
  settings: HealthSettings,
  targets: readonly string[],
): { targets: string[]; health: Health } {
  const silence = now - (health.lastAnswerAt ?? health.startedAt)
  const late = health.lastAnswerAt === undefined || silence > settings.interval + patience
  const hasty = late && silence <= settings.window * burstWindows
  const elapsed = now - (health.lastProbeAt ?? Number.NEGATIVE_INFINITY)
  if (elapsed < (hasty ? burstInterval : settings.interval)) return { targets: [], health }
  const next = targets[health.begun % Math.max(targets.length, 1)]
  const due = late ? [...targets] : next === undefined ? [] : [next]
  return { targets: due, health: { ...health, lastProbeAt: now, begun: health.begun + 1 } }
}
