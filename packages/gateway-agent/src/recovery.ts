/**
 * What to do about a tunnel that is down, in order: ask for the endpoint's address again, shake hands anew, go on to the
 * next endpoint or file. Pure: time and chance come in, decisions go out. A tunnel that is up is left alone.
 */

/** How far recovery has come; times are seconds of a clock that never goes back. */
export interface Recovery {
  /** What comes next; absent while the tunnel is up. */
  readonly next?: 'resolve' | 'handshake' | 'rotate'
  readonly dueAt: number
  /** Times that every endpoint had its turn, since the tunnel went down. */
  readonly round: number
  /** Endpoints that were gone on to in this round. */
  readonly rotated: number
}

/** What is known about the tunnel. */
export interface Situation {
  down: boolean
  /** Whether the peer was heard since the tunnel went down: then it is the internet behind it that is missing. */
  peerHeard: boolean
  /** Whether an endpoint is a host name. */
  named: boolean
  /** Whether an endpoint in use has an address. */
  resolved: boolean
  /** Endpoints and files beside the one in use. */
  alternatives: number
}

/** Why the endpoint was given up. */
export const rotationReasons = ['unresolved', 'no-handshake', 'no-internet'] as const
type RotationReason = (typeof rotationReasons)[number]

export type RecoveryAction = { kind: 'resolve' } | { kind: 'handshake' } | { kind: 'rotate'; reason: RotationReason }

/** Seconds for a new address to be put to use before hands are shaken. */
const settle = 0.5
/** Seconds that an endpoint has to answer: WireGuard sends a handshake that was lost again after 5 (REKEY_TIMEOUT). */
const patience = 6
/** Seconds that doubling leads to, once all endpoints had their turn. */
const mostPatience = 60

/** While the tunnel is up. */
export const atRest: Recovery = { dueAt: 0, round: 0, rotated: 0 }

/** The next action, if one is due, and the recovery that knows of it. `chance` is from 0 to 1. */
export function decide(
  recovery: Recovery,
  situation: Situation,
  now: number,
  chance: number,
): { action?: RecoveryAction; recovery: Recovery } {
  if (!situation.down) return { recovery: atRest }
  const { next = 'resolve', dueAt, round } = recovery
  if (recovery.next !== undefined && now < dueAt) return { recovery }
  // Jitter keeps gateways that lost the same provider from coming back to it together.
  const wait = Math.min(patience * 2 ** Math.min(round, 10), mostPatience) * (0.75 + chance / 2)
  if (next === 'resolve') {
    const handshake: Recovery = { ...recovery, next: 'handshake', dueAt: now + settle }
    if (situation.named) return { action: { kind: 'resolve' }, recovery: handshake }
    return decide({ ...handshake, dueAt: now }, situation, now, chance)
  }
  if (next === 'handshake') {
    const patient: Recovery = { ...recovery, next: 'rotate', dueAt: now + wait }
    // A peer that is heard has a session, and what goes on in it is not torn down.
    return situation.peerHeard || !situation.resolved
      ? { recovery: patient }
      : { action: { kind: 'handshake' }, recovery: patient }
  }
  return rotate(recovery, situation, now, wait)
}

function rotate(
  recovery: Recovery,
  situation: Situation,
  now: number,
  wait: number,
): { action?: RecoveryAction; recovery: Recovery } {
  const again: Recovery = { next: 'resolve', dueAt: now, round: recovery.round + 1, rotated: 0 }
  if (situation.alternatives === 0) return { recovery: again }
  const rotated = recovery.rotated + 1
  const action: RecoveryAction = { kind: 'rotate', reason: reasonOf(situation) }
  // Back at the first endpoint: a new one shakes hands and is resolved by being put to use, so no more is done about it.
  if (rotated > situation.alternatives) return { action, recovery: { ...again, dueAt: now + wait } }
  return { action, recovery: { ...recovery, next: 'rotate', dueAt: now + wait, rotated } }
}

function reasonOf({ resolved, peerHeard }: Situation): RotationReason {
  if (!resolved) return 'unresolved'
  return peerHeard ? 'no-internet' : 'no-handshake'
}
