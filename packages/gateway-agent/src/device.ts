import { showWireguard, type Runner, type WireguardDevice } from '@vpn-gateway/kernel'
import { shared } from '@vpn-gateway/runtime'
import { tunnelLink } from './wireguard.ts'

/** The tunnel's device as the kernel holds it. */
export interface DeviceReader {
  /** Reads it; undefined while there is none. */
  read(): Promise<WireguardDevice | undefined>
  /** What the last reading found; starts a new one when that is older than two seconds. */
  recent(): WireguardDevice | undefined
}

/** Unix seconds of the latest handshake of any peer, as recently read; 0 before the first. */
export function latestHandshake(device: DeviceReader): number {
  return Math.max(0, ...(device.recent()?.peers ?? []).map((peer) => peer.latestHandshake))
}

const freshMilliseconds = 2000

/** Makes a reader of the tunnel's device. */
export function createDeviceReader(runner: Runner): DeviceReader {
  let last: WireguardDevice | undefined
  let readAt = Number.NEGATIVE_INFINITY
  const read = shared(async () => {
    try {
      last = await showWireguard(runner, tunnelLink)
      return last
    } finally {
      readAt = performance.now()
    }
  })
  return {
    read,
    recent() {
      // A failure shows in the metrics and at the next reconcile pass.
      if (performance.now() - readAt > freshMilliseconds) read().catch(() => undefined)
      return last
    },
  }
}
