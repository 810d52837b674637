/** Whether the table of connections has no room for a probe. */
import { readConntrackDrops } from '@vpn-gateway/kernel'
import { sessionLife } from './wireguard.ts'

export interface RoomOptions {
  /** Unix seconds of the latest handshake of any peer; 0 before the first. */
  latestHandshake: () => number
  /** Packets that found no room so far; undefined where the kernel does not say. */
  drops?: () => number | undefined
  /** Milliseconds since 1970. */
  now?: () => number
}

/** Milliseconds that a reading of the counter may be old when the next one is compared with it. */
const comparable = 1000

/**
 * Tells whether packets found no room since it was last asked, a moment ago, while WireGuard's session lives. Such a table
 * drops probes like all that is new, while the flows that it knows go on: silence says nothing of the tunnel, and the
 * session, which gets its packets through, is all that is known of it.
 */
export function createRoomCheck({
  latestHandshake,
  drops = readConntrackDrops,
  now = Date.now,
}: RoomOptions): () => boolean {
  let last: { at: number; drops: number | undefined } | undefined
  return () => {
    const before = last
    last = { at: now(), drops: drops() }
    if (before?.drops === undefined || last.drops === undefined || last.at - before.at > comparable) return false
    return last.drops > before.drops && last.at / 1000 - latestHandshake() <= sessionLife
  }
}
