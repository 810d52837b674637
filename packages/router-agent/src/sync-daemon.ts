import { readMemoryFileIfPresent } from '@vpn-gateway/kernel'
import { ipvsSync } from './router.ts'

/** Which of IPVS' two sync daemons run in this network namespace. */
export interface SyncDaemons {
  sender: boolean
  receiver: boolean
}

/** Finds the daemons, which are kernel threads, by their sockets: /proc/net/udp lists those of the kernel too. */
export async function readSyncDaemons(path = '/proc/net/udp'): Promise<SyncDaemons> {
  return parseSyncDaemons(readMemoryFileIfPresent(path))
}

/** Parses /proc/net/udp: the sender is connected to the sync port, the receiver is bound to it. */
export function parseSyncDaemons(text: string): SyncDaemons {
  const port = `:${ipvsSync.port.toString(16).toUpperCase().padStart(4, '0')}`
  const sockets = text.split('\n').map((line) => line.trim().split(/\s+/))
  return {
    sender: sockets.some(([, , remote]) => remote?.endsWith(port)),
    receiver: sockets.some(([, local]) => local?.endsWith(port)),
  }
}
