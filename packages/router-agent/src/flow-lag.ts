/**
 * Whether a standby knows the flows that the active router has. What routers tell each other of flows goes by datagrams that
 * nobody acknowledges; so their numbers are compared, and a standby that lacks some is told all again.
 */
import type { Peer, Standing } from './peers.ts'

/** What one router had, by the round of questions. */
export interface FlowSample {
  /** Milliseconds, by performance.now(). */
  at: number
  /** Flows under way. */
  flows: number
}

/**
 * Milliseconds that a flow may be on its way, and that a standby has to have fewer in every look: IPVS tells within three
 * seconds, rounds are one and a half apart, and the answer of one that is busy is kept for four and a half.
 */
const onItsWay = 6000

/** Share of flows, and a number, that a standby may lack: they begin and end while they are counted. */
const tolerated = { share: 0.1, flows: 1 }

/** Gathers what routers have. */
export interface FlowLag {
  /** After each round of questions. */
  look(own: Standing, peers: Iterable<Peer>): void
  /** Whether this router stands by and lacks flows of the active one. */
  lacks(): boolean
  /** Whether the standby of that address lacks flows of this router, which is active. */
  isLackedBy(address: string): boolean
}

/** Makes an empty one. */
export function createFlowLag(now: () => number = () => performance.now()): FlowLag {
  let active: { address: string; samples: FlowSample[] } | undefined
  /** Since when each router has had too few, by address. */
  let behindSince = new Map<string, number>()
  const self = ''
  let lookedAt = 0
  const lasts = (address: string) => lookedAt - (behindSince.get(address) ?? Number.POSITIVE_INFINITY) >= onItsWay

  return {
    look(own, peers) {
      const others = [...peers]
      const all = [{ ...own, address: self }, ...others]
      const [leader, second] = all.filter(({ vrrp, holdsVip }) => vrrp === 'MASTER' && holdsVip)
      // Of two that are active neither knows all.
      if (leader === undefined || leader.flows === null || second !== undefined) {
        active = undefined
        behindSince = new Map()
        return
      }
      if (active?.address !== leader.address) active = { address: leader.address, samples: [] }
      const at = (lookedAt = now())
      active.samples = addSample(active.samples, { at, flows: leader.flows })
      const { samples } = active
      const behind = all.filter((router) => isBehind(router, leader, samples))
      behindSince = new Map(behind.map(({ address }) => [address, behindSince.get(address) ?? at]))
    },
    lacks: () => lasts(self),
    isLackedBy: lasts,
  }
}

/** Adds what was counted and forgets what is older than a flow may be on its way. Pure. */
export function addSample(samples: readonly FlowSample[], sample: FlowSample): FlowSample[] {
  return [...samples.filter(({ at }) => at >= sample.at - onItsWay), sample]
}

/**
 * Whether a standby that reaches all that the active router does has fewer flows than that one had at any time lately. One
 * that reaches less forgets flows for that reason, and being told does not help it. Pure.
 */
export function isBehind(standby: Standing, leader: Standing, samples: readonly FlowSample[]): boolean {
  if (standby.vrrp !== 'BACKUP' || standby.liveGateways === 0 || standby.flows === null) return false
  if (standby.liveGateways < leader.liveGateways) return false
  const had = Math.min(...samples.map(({ flows }) => flows))
  return standby.flows < had * (1 - tolerated.share) - tolerated.flows
}
