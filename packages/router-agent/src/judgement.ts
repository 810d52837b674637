/**
 * Whether this router should step back although VRRP made it the active one. VRRP itself decides by adverts alone: two
 * that do not hear each other are both master, and with `nopreempt` a master that is worth little stays. Pure: what is
 * known comes in, with the time.
 */
import type { Peer, Standing } from './peers.ts'

/** Why a router steps back. */
export type YieldReason =
  | 'another router holds the VIP too'
  | 'no gateway is reached, by another router some are'
  | 'another router is worth more'

/** Times are milliseconds of a clock that never goes back. */
export type Judgement =
  | { kind: 'serving' }
  | { kind: 'doubting'; reason: YieldReason; since: number }
  | { kind: 'yielding'; reason: YieldReason; since: number; alone?: number }

export interface JudgementInput {
  own: Standing & { address: string }
  peers: readonly Peer[]
  /** Whether the other routers' adverts arrive here. */
  advertsArrive: boolean
  now: number
}

/**
 * Milliseconds that a reason has to last: VRRP settles most of it by itself, a router whose VRRP process is stuck finds out
 * and gives the VIP up, and gateways that flap are seen by both.
 */
export const patience: Readonly<Record<YieldReason, number>> = {
  'another router holds the VIP too': 4000,
  'no gateway is reached, by another router some are': 500,
  'another router is worth more': 3000,
}

/** Milliseconds without anybody else who holds the VIP after which a router that steps back is needed again. */
const needed = 3000

/** What follows from what is known now and from what was judged before. */
export function judge(before: Judgement, input: JudgementInput): Judgement {
  return before.kind === 'yielding' ? whileYielding(before, input) : whileServing(before, input)
}

function whileServing(before: Judgement, { own, peers, now }: JudgementInput): Judgement {
  const reason = reasonOf(own, peers)
  if (reason === undefined) return { kind: 'serving' }
  const since = before.kind === 'doubting' && before.reason === reason ? before.since : now
  return now - since >= patience[reason]
    ? { kind: 'yielding', reason, since: now }
    : { kind: 'doubting', reason, since }
}

function reasonOf(own: JudgementInput['own'], peers: readonly Peer[]): YieldReason | undefined {
  if (own.vrrp !== 'MASTER') return undefined
  const better = peers.filter((peer) => !peer.yields && precedes(peer, own))
  // A VIP that outlives its router's time as master is no claim to it: it goes with its lifetime.
  if (better.some((peer) => peer.holdsVip && peer.vrrp === 'MASTER')) return 'another router holds the VIP too'
  const heirs = better.filter((peer) => peer.vrrp === 'BACKUP' && compareWorth(peer, own) > 0)
  if (heirs.length === 0) return undefined
  return own.liveGateways === 0 ? 'no gateway is reached, by another router some are' : 'another router is worth more'
}

function whileYielding(
  before: Judgement & { kind: 'yielding' },
  { peers, advertsArrive, now }: JudgementInput,
): Judgement {
  const held = holdersOf(peers)
  // A backup that hears no adverts would be master again at once. Of several holders it may be another that is heard, which
  // will step back as well.
  if (held === 1 && advertsArrive) return { kind: 'serving' }
  const { reason, since } = before
  if (held > 0) return { kind: 'yielding', reason, since }
  const alone = before.alone ?? now
  return now - alone >= needed ? { kind: 'serving' } : { kind: 'yielding', reason, since, alone }
}

/** How many other routers hold the VIP. */
export function holdersOf(peers: readonly Peer[]): number {
  return peers.filter((peer) => peer.holdsVip).length
}

/** What was counted of the other routers' adverts, as long as one of them alone held the VIP. */
export interface Adverts {
  /** Packets, by the rule's counter, and when it was read. */
  heard: number
  at: number
  /** Counts in a row with more than the one before. */
  grown: number
}

/** Milliseconds between two counts that count: so long may it take until another router's state is known here. */
const countEvery = 2000

/** Adds a count. Pure. */
export function countAdverts(before: Adverts | undefined, heard: number, now: number): Adverts {
  if (before !== undefined && now - before.at < countEvery) return before
  return { heard, at: now, grown: before !== undefined && heard > before.heard ? before.grown + 1 : 0 }
}

/** Whether they arrive from the one holder: what had left another router before that stepped back is counted once at most. */
export const advertsArrive = (adverts: Adverts | undefined): boolean => (adverts?.grown ?? 0) >= 2

/** Positive when `a` is worth more: first whether it reaches gateways at all, then whether it replicates, then how many. */
function compareWorth(a: Standing, b: Standing): number {
  return (
    Number(a.liveGateways > 0) - Number(b.liveGateways > 0) ||
    Number(a.fit) - Number(b.fit) ||
    a.liveGateways - b.liveGateways
  )
}

/**
 * Whether a peer comes before this router. Of equals the one that has been active for longer does, since it knows the
 * flows and clients know it; seconds are rounded differently, so that close ones count as the same and the lower address
 * decides.
 */
function precedes(peer: Peer, own: JudgementInput['own']): boolean {
  const worth = compareWorth(peer, own)
  if (worth !== 0) return worth > 0
  const older = (peer.stateSeconds ?? 0) - (own.stateSeconds ?? 0)
  if (Math.abs(older) > 2) return older > 0
  return numberOf(peer.address) < numberOf(own.address)
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
}
