/** Whether the table of connections has no room for a probe. */
import { readConntrackRoom, type ConntrackRoom } from '@vpn-gateway/kernel'
import { sessionLife } from './wireguard.ts'

export interface RoomOptions {
  /** Unix seconds of the latest handshake of any peer; 0 before the first. */
  latestHandshake: () => number
  /** The table now; undefined where the kernel does not say. */
  read?: () => ConntrackRoom | undefined
  /** Seconds of a clock that never goes back. */
  clock?: () => number
  /** Unix seconds. */
  now?: () => number
}

/** Seconds that a reading may be old when the next one is compared with it. */
const comparable = 5
/** Part of the limit from which on the table counts as full: entries end all the time. */
const fullPart = 0.95

/**
 * Tells whether packets found no room since it was last asked, a moment ago, while WireGuard's session lives. Such a table
 * drops probes like all that is new, while the flows that it knows go on: silence says nothing of the tunnel, and the
 * session, whose packets are not tracked, is all that is known of it. The kernel counts other drops too, as of two packets
 * that race for one entry; those do not fill the table.
 */
export function createRoomCheck({
  latestHandshake,
  read = readConntrackRoom,
  clock = () => performance.now() / 1000,
  now = () => Date.now() / 1000,
}: RoomOptions): () => boolean {
  let last: { at: number; room: ConntrackRoom | undefined } | undefined
  return () => {
    const before = last
    const room = read()
    last = { at: clock(), room }
    if (before?.room === undefined || room === undefined || last.at - before.at > comparable) return false
    const isFull = room.limit > 0 && room.entries >= room.limit * fullPart && room.drops > before.room.drops
    return isFull && now() - latestHandshake() <= sessionLife
  }
}
