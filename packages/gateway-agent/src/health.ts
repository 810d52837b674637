/**
 * Whether the tunnel carries traffic, judged by what came through it. Pure: time comes in, decisions go out. A handshake
 * proves the peer, not the internet behind it, and a few received bytes may be the peer's own: an answer from a target
 * counts, and so much traffic that only the internet can have sent it, because a full tunnel loses probes like any packet.
 * One answer of any target is enough; a lost packet is followed by a burst before anything is called dead, and a machine
 * too slow to send one within the window gets a second window for it.
 */

export interface HealthSettings {
  /** Seconds between two probes while all is well. */
  interval: number
  /** Seconds that one probe may take. */
  timeout: number
  /** Seconds without any answer, and without much traffic, after which the tunnel is down once enough probes were lost. */
  window: number
}

/** `starting` until the first answer, at most for one window. */
export type TunnelState = 'starting' | 'up' | 'down'

/** Times are seconds of a clock that never goes back. */
export interface Health {
  readonly startedAt: number
  readonly lastAnswerAt?: number
  readonly lastProbeAt?: number
  /** When traffic was last seen that is proof enough. */
  readonly lastLoadAt?: number
  /** When probes last found no room among tracked connections, in a session that lives. */
  readonly lastFullAt?: number
  /** Bytes that the tunnel's link had received, and when. */
  readonly reading?: { readonly at: number; readonly bytes: number }
  /** Probes begun, which picks the next target. */
  readonly begun: number
  /** Probes sent since the last answer. */
  readonly unanswered: number
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
const burstInterval = 0.15
const patience = 0.25
/** Probes that a burst sends at least, so that one target alone is no weaker proof than two. */
const burstSize = 2
/**
 * Probes in a row without an answer that are proof. Where three packets of ten are lost each way, every second probe is:
 * sixteen in a row come once in 48,000 times. Bursts make that many of them in 2.3 seconds, within the usual window.
 */
const proof = 16
/** Windows without an answer after which no proof is asked for: probes may not be possible at all. */
const proofWindows = 2
/** Seconds after the last proof in which a table without room is believed to be why there is none: a session's life. */
const fullAtMost = 180
/** Bytes a second that the peer by itself, with keepalives and errors in answer to probes and clients, does not send. */
const load = 64 * 1024
/** Windows without an answer after which bursts end: nobody is helped by haste any more. */
const burstWindows = 5

/** Before the first probe. */
export function initialHealth(now: number): Health {
  return { startedAt: now, begun: 0, unanswered: 0, failures: {} }
}

/** What a result changes. */
export function afterProbe(health: Health, result: ProbeResult): Health {
  if ('failure' in result) return { ...health, failures: { ...health.failures, [result.target]: result.failure } }
  const failures = Object.fromEntries(Object.entries(health.failures).filter(([target]) => target !== result.target))
  const lastAnswerAt = Math.max(health.lastAnswerAt ?? result.at, result.at)
  return { ...health, lastAnswerAt, latency: result.latency, failures, unanswered: 0 }
}

/** What the counter of received bytes says; it begins again at 0 with a new link. */
export function afterReading(health: Health, at: number, bytes: number): Health {
  const { reading } = health
  const next: Health = { ...health, reading: { at, bytes } }
  if (reading === undefined || at <= reading.at) return next
  return (bytes - reading.bytes) / (at - reading.at) >= load ? { ...next, lastLoadAt: at } : next
}

/** Probes found no room: their silence until now says nothing. What is down stays so until an answer. */
export function afterFull(health: Health, at: number, settings: HealthSettings): Health {
  if (tunnelState(health, at, settings) === 'down') return health
  return { ...health, lastFullAt: at, unanswered: 0 }
}

/** The tunnel's state at a time; in the end it is down by time alone, also when no probe could be made. */
export function tunnelState(health: Health, now: number, settings: HealthSettings): TunnelState {
  const { lastAnswerAt, lastLoadAt = 0, lastFullAt = 0, startedAt, unanswered } = health
  const { window } = settings
  const excused = (since: number) => Math.max(since, Math.min(lastFullAt, since + fullAtMost))
  if (lastAnswerAt === undefined) return now - excused(startedAt) <= window ? 'starting' : 'down'
  // Traffic goes on proving what an answer proved first.
  const silence = now - excused(Math.max(lastAnswerAt, lastLoadAt))
  return silence <= (unanswered >= proof ? window : window * proofWindows) ? 'up' : 'down'
}

/** Whether answers are missing and every moment counts. */
export function isHasty(health: Health, now: number, settings: HealthSettings): boolean {
  const silence = Math.min(silenceOf(health, now), now - (health.lastFullAt ?? Number.NEGATIVE_INFINITY))
  return isLate(health, now, settings) && silence <= settings.window * burstWindows
}

/** Seconds until an answer is late, never less than 0. */
export function untilLate(health: Health, now: number, settings: HealthSettings): number {
  if (health.lastAnswerAt === undefined) return 0
  return Math.max(settings.interval + patience - silenceOf(health, now), 0)
}

function isLate(health: Health, now: number, settings: HealthSettings): boolean {
  return untilLate(health, now, settings) === 0
}

function silenceOf({ lastAnswerAt, startedAt }: Health, now: number): number {
  return now - (lastAnswerAt ?? startedAt)
}

/**
 * Targets to probe now, and the health that knows of it. One in turn while all is well, all of them in a burst, a lone
 * one twice.
 */
export function dueProbes(
  health: Health,
  now: number,
  settings: HealthSettings,
  targets: readonly string[],
): { targets: string[]; health: Health } {
  const late = isLate(health, now, settings)
  const hasty = isHasty(health, now, settings)
  const elapsed = now - (health.lastProbeAt ?? Number.NEGATIVE_INFINITY)
  if (elapsed < (hasty ? burstInterval : settings.interval)) return { targets: [], health }
  const { begun, unanswered } = health
  const due = inTurn(targets, begun, late ? Math.max(targets.length, burstSize) : 1)
  return {
    targets: due,
    health: { ...health, lastProbeAt: now, begun: begun + 1, unanswered: unanswered + due.length },
  }
}

function inTurn(targets: readonly string[], first: number, count: number): string[] {
  return Array.from({ length: targets.length === 0 ? 0 : count }, (_, place) => {
    return targets[(first + place) % targets.length] ?? ''
  })
}
