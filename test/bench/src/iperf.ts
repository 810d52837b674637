/** iperf3's report, iperf3(1) with `-J`. */

/** What arrived at the other end. */
export interface Carried {
  bytes: number
  bitsPerSecond: number
  /** Datagrams; NaN for TCP. */
  packets: number
  packetsPerSecond: number
}

interface Sum {
  bytes?: number
  bits_per_second?: number
  seconds?: number
  packets?: number
  lost_packets?: number
}

/** Reads the report of a client; throws what iperf3 says went wrong. */
export function readResult(text: string): Carried {
  const { error, end } = JSON.parse(text) as { error?: string; end?: { sum?: Sum; sum_received?: Sum } }
  if (error !== undefined) throw new Error(`iperf3: ${error}`)
  const { sum = {}, sum_received: received = {} } = end ?? {}
  if (sum.packets === undefined) {
    const { bytes = Number.NaN, bits_per_second: bitsPerSecond = Number.NaN } = received
    return { bytes, bitsPerSecond, packets: Number.NaN, packetsPerSecond: Number.NaN }
  }
  // Of UDP, `sum` counts what was sent, and what of it the server missed.
  const packets = sum.packets - (sum.lost_packets ?? 0)
  const seconds = sum.seconds ?? Number.NaN
  const bytes = ((sum.bytes ?? Number.NaN) / sum.packets) * packets
  return { bytes, bitsPerSecond: (8 * bytes) / seconds, packets, packetsPerSecond: packets / seconds }
}
