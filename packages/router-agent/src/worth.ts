/**
 * How much this router is worth as the active one, as a number that keepalived adds to its VRRP priority. Between two
 * routers that are both master, as after a cut that healed, the priority alone decides (`nopreempt` is about backups):
 * without this the lowest address would win, also when it is the one that was cut off and missed what went on meanwhile.
 * So a standby is worth more than the active router: whatever becomes of that one, nothing has to be written in time for the
 * one that took over to win. One that is not prepared to take over is worth less than all others until it has.
 */

/** A router without live gateways loses to everybody; priorities by address are at least 200. */
const withoutGateways = -150
/** With any priority a sum that puts the instance into FAULT: it gives the VIP up and says goodbye. */
const stepsBack = -254
/** A standby, and one that took over: outweighs the priorities by address, which differ by 6 at most, and stays below 255. */
const heir = 7
/** A standby that lacks flows or does not replicate: loses to every other standby. Where it is the only one it takes over. */
const lastResort = -7

/** Milliseconds after which a takeover no longer counts: by then the other router has been sent all that it missed. */
export const freshFor = 30_000

export interface WorthInput {
  liveGateways: number
  /** Milliseconds since this router took over from a silent one; undefined when it did not. */
  sinceTakeover: number | undefined
  /** VRRP's state is BACKUP. */
  standsBy: boolean
  /** It replicates and was told all flows. */
  prepared: boolean
  /** It is to give up the VIP, whatever the others' priorities are: a backup does not preempt a master of less. */
  yields: boolean
}

/** The number for the worth file, 0 for an ordinary router. Pure. */
export function worthOf({ liveGateways, sinceTakeover, standsBy, prepared, yields }: WorthInput): number {
  if (yields) return stepsBack
  if (liveGateways === 0) return withoutGateways
  if (standsBy && !prepared) return lastResort
  return standsBy || (sinceTakeover !== undefined && sinceTakeover < freshFor) ? heir : 0
}
