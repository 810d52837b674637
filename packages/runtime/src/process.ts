/** Processes as /proc shows them, for those that are no children and cannot be waited for. */
import { readdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { readMemoryFileIfPresent } from '@vpn-gateway/kernel'

/** Milliseconds between two looks at a group that is ending. */
const groupPoll = 50

/** Sends a signal to a process, or to a whole group by its negative id; false when there is none. */
export function signalTo(target: number, signal: NodeJS.Signals | number): boolean {
  try {
    return process.kill(target, signal)
  } catch {
    return false
  }
}

/** When a process started, in clock ticks since boot: with the pid it identifies a process. Undefined for a zombie or none. */
export async function startTime(pid: number): Promise<string | undefined> {
  return (await readStat(pid))?.started
}

/**
 * Processor time that a process has used, user's and system's, in the ticks of sysconf(_SC_CLK_TCK), 100 a second on Linux.
 * Undefined for a zombie or none.
 */
export async function processorTicks(pid: number): Promise<number | undefined> {
  return (await readStat(pid))?.ticks
}

/** Ends what is left of a process group whose leader has ended: SIGTERM, and SIGKILL at the deadline. */
export async function endGroup(group: number, deadline: AbortSignal): Promise<void> {
  if (!(await groupLives(group))) return
  signalTo(-group, 'SIGTERM')
  while (await groupLives(group)) {
    if (deadline.aborted) {
      signalTo(-group, 'SIGKILL')
      return
    }
    await delay(groupPoll)
  }
}

/** Zombies do not count: where nobody reaps orphans, as in a container, they stay for good and kill(2) still finds them. */
async function groupLives(group: number): Promise<boolean> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(pids.map((pid) => readStat(Number(pid))))
  return stats.some((stat) => stat?.group === group)
}

interface ProcessStat {
  group: number
  ticks: number
  started: string
}

async function readStat(pid: number): Promise<ProcessStat | undefined> {
  return parseStat(readMemoryFileIfPresent(`/proc/${pid}/stat`))
}

/** Fields 5, 14 and 15, and 22 of /proc/PID/stat (proc(5)); undefined for a zombie, no process or what is no such file. */
export function parseStat(text: string): ProcessStat | undefined {
  // The name in parentheses may hold blanks; what follows it does not.
  const [state, , group, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const started = fields[16]
  if (state === undefined || state === 'Z' || state === 'X' || started === undefined) return undefined
  const read = { group: Number(group), ticks: Number(fields[8]) + Number(fields[9]), started }
  return Number.isFinite(read.group) && Number.isFinite(read.ticks) ? read : undefined
}
