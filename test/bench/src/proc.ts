/** What /proc tells of processes and of the whole machine, proc(5), and an agent of itself. */
import { readdirSync, readFileSync } from 'node:fs'

/** Clock ticks a second: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/** Seconds of processor time that all processors together have worked, by the first line of /proc/stat. */
export function parseBusySeconds(stat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split('\n')[0] ?? '')
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq) / ticksPerSecond
}

/** Seconds of processor time of a process and of those of its children that have ended, by /proc/PID/stat. */
export function parseProcessSeconds(stat: string): number {
  // A program's name, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond
}

/** Process id of the parent, by /proc/PID/stat. */
export function parseParent(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** Megabytes in a field of /proc/PID/status or /proc/meminfo, `VmRSS`, `SUnreclaim`; NaN without it. */
export function parseMegabytes(text: string, field: string): number {
  return (Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(text)?.[1]) * 1024) / 1e6
}

/** Value of a metric without labels in a page of metrics; NaN without it. */
export function parseGauge(page: string, metric: string): number {
  return Number(new RegExp(`^${metric} (\\S+)$`, 'm').exec(page)?.[1])
}

/** Bytes and packets that a link has sent, by /proc/net/dev; throws without the link. */
export function parseSent(text: string, link: string): { bytes: number; packets: number } {
  const row = text.split('\n').find((line) => line.trim().startsWith(`${link}:`))
  if (row === undefined) throw new Error(`/proc/net/dev: no ${link}`)
  const fields = row
    .slice(row.indexOf(':') + 1)
    .trim()
    .split(/\s+/)
    .map(Number)
  return { bytes: fields[8] ?? Number.NaN, packets: fields[9] ?? Number.NaN }
}

export const busySeconds = (): number => parseBusySeconds(readFileSync('/proc/stat', 'utf8'))
export const processSeconds = (pid: number): number => parseProcessSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8'))
export const processMegabytes = (pid: number, field: string): number =>
  parseMegabytes(readFileSync(`/proc/${pid}/status`, 'utf8'), field)
export const machineMegabytes = (field: string): number => parseMegabytes(readFileSync('/proc/meminfo', 'utf8'), field)

/** Process id of a child; undefined when there is none. /proc/PID/task/PID/children is not in every kernel. */
export function childOf(pid: number): number | undefined {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((each) => {
      try {
        return parseParent(readFileSync(`/proc/${each}/stat`, 'utf8')) === pid
      } catch {
        // It ended meanwhile.
        return false
      }
    })
}
