/**
 * How much this router is worth as the active one, as a number that keepalived adds to its VRRP priority. Between two
 * routers that are both master, as after a cut that healed, the priority alone decides (`nopreempt` is about backups):
 * without this the lowest address would win, also when it is the one that was cut off and missed what went on meanwhile.
 */

/** A router without live gateways loses to everybody; priorities by address are at least 200. */
const withoutGateways = -150
/** More than there are addresses in a range of routers, so that it outweighs the priority by address, and below 255. */
const tookOver = 4

/** Milliseconds after which a takeover no longer counts: by then the other router has been sent all that it missed. */
export const freshFor = 30_000

export interface WorthInput {
  liveGateways: number
  /** Milliseconds since this router took over from a silent one; undefined when it did not. */
  sinceTakeover: number | undefined
}

/** The number for the worth file, 0 for an ordinary router. Pure. */
export function worthOf({ liveGateways, sinceTakeover }: WorthInput): number {
  if (liveGateways === 0) return withoutGateways
  return sinceTakeover !== undefined && sinceTakeover < freshFor ? tookOver : 0
}
