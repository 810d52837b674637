import { readMemoryFile } from './memory-file.ts'

/**
 * Bytes that a link of this network namespace has received, from sysfs; undefined where there is no such link. Read at
 * once: sysfs answers from memory, and a question that waits its turn would tell of another moment.
 */
export function readReceivedBytes(dev: string): number | undefined {
  try {
    return Number(readMemoryFile(`/sys/class/net/${dev}/statistics/rx_bytes`))
  } catch {
    return undefined
  }
}
