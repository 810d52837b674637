/**
 * Whether the guest keeps the host's time. Its kernel measures the frequency of the processor's time-stamp counter against
 * emulated timers while it boots; on a busy host that has come out five times too low, and all of the guest's time, its
 * timeouts too, ran five times too fast.
 */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Part of the true rate by which the guest's clock may be off; a look at it takes a few milliseconds of some seconds. */
const tolerance = 0.05

/**
 * How fast the guest's clock runs, 1 being right, by two files that it left in the share while it booted: its uptime in
 * seconds in each, and when the host's file system took it.
 */
export async function clockRate(share: string): Promise<number> {
  const [first, last] = await Promise.all([reading(join(share, 'clock-0')), reading(join(share, 'clock-1'))])
  return (last.guest - first.guest) / (last.host - first.host)
}

/** Whether that is right, as well as such a short look can tell. */
export const isTrueClock = (rate: number): boolean => Math.abs(rate - 1) <= tolerance

async function reading(path: string): Promise<{ guest: number; host: number }> {
  const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
  return { guest: Number(text), host: mtimeMs / 1000 }
}
