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

/** Milliseconds that a flow may be on its way: IPVS tells within three seconds, and rounds are one and a half apart. */
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
  let lacking = new Set<string>()
  const self = ''

  return {
    look(own, peers) {
      const others = [...peers]
      const all = [{ ...own, address: self }, ...others]
      const [leader, second] = all.filter(({ vrrp, holdsVip }) => vrrp === 'MASTER' && holdsVip)
      // Of two that are active neither knows all.
      if (leader === undefined || second !== undefined) {
        active = undefined
        lacking = new Set()
        return
      }
      if (active?.address !== leader.address) active = { address: leader.address, samples: [] }
      active.samples = addSample(active.samples, { at: now(), flows: leader.flows })
      const { samples } = active
      lacking = new Set(all.filter((router) => isBehind(router, leader, samples)).map(({ address }) => address))
    },
    lacks: () => lacking.has(self),
    isLackedBy: (address) => lacking.has(address),
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
  if (standby.vrrp !== 'BACKUP' || standby.liveGateways === 0) return false
  if (standby.liveGateways < leader.liveGateways) return false
  const had = Math.min(...samples.map(({ flows }) => flows))
  return standby.flows < had * (1 - tolerated.share) - tolerated.flows
}
