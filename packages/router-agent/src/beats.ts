/** Signs of life of a process that sleeps and wakes all the time. */
import { readMemoryFileIfPresent } from '@vpn-gateway/kernel'

/**
 * How often a process has gone to sleep, from proc_pid_status(5): VRRP does so after every advert and the checker after every
 * check, so that one that is stopped, waits for ever or spins stays where it is. Empty when there is none.
 */
export async function readBeats(pidFile: string): Promise<string> {
  const pid = Number.parseInt(readMemoryFileIfPresent(pidFile), 10)
  if (!Number.isInteger(pid)) return ''
  const status = readMemoryFileIfPresent(`/proc/${pid}/status`)
  return parseBeats(status)
}

/** Voluntary context switches with the process' id; empty for a zombie and for what is no such file. */
export function parseBeats(status: string): string {
  if (/^State:\s+Z/m.test(status)) return ''
  const pid = /^Pid:\s+(\d+)$/m.exec(status)?.[1]
  const beats = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1]
  return pid === undefined || beats === undefined ? '' : `${pid} ${beats}`
}
