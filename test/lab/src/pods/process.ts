/** Processes of the lab: started in a namespace, detached, with a log file each, found again by later commands. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOG_DIR, PID_DIR } from '../paths.ts'
import { awaitCondition } from '../wait.ts'
import { asTraffic } from './priority.ts'

export interface ProcessSpec {
  /** Names the log and the pid file. */
  name: string
  namespace: string
  argv: readonly string[]
}

/** A process by id and start time (proc(5), clock ticks since boot), so that a reused id is not taken for it. */
interface ProcessRecord {
  pid: number
  startTime: string
}

export const logPath = (name: string): string => join(LOG_DIR, `${name}.log`)
const pidPath = (name: string): string => join(PID_DIR, `${name}.json`)

/** Starts a program; it outlives its starter. Its output is appended to its log. Does nothing if it runs already. */
export function startProcess({ name, namespace, argv }: ProcessSpec): number {
  const running = processId(name)
  if (running !== undefined) return running
  mkdirSync(LOG_DIR, { recursive: true })
  mkdirSync(PID_DIR, { recursive: true })
  const log = openSync(logPath(name), 'a')
  try {
    const [program, ...rest] = asTraffic(['ip', 'netns', 'exec', namespace, ...argv])
    const child = spawn(program, rest, { detached: true, stdio: ['ignore', log, log] })
    child.on('error', () => undefined)
    if (child.pid === undefined) throw new Error(`starting ${name}: ip cannot be run`)
    child.unref()
    const record: ProcessRecord = { pid: child.pid, startTime: startTimeOf(child.pid) ?? '' }
    writeFileSync(pidPath(name), JSON.stringify(record))
    return child.pid
  } finally {
    closeSync(log)
  }
}

/** Id of a running process of the lab; `undefined` when it was never started or has ended. */
export function processId(name: string): number | undefined {
  try {
    const record = JSON.parse(readFileSync(pidPath(name), 'utf8')) as ProcessRecord
    return startTimeOf(record.pid) === record.startTime ? record.pid : undefined
  } catch {
    return undefined
  }
}

/** Sends a signal to one process, not to its children; false when it does not run. */
export function signalProcess(name: string, signal: NodeJS.Signals): boolean {
  const pid = processId(name)
  if (pid === undefined) return false
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** Sends a signal, if one is named, and waits for the process to end; an error after `timeoutMs` milliseconds. */
export async function endProcess(name: string, signal: NodeJS.Signals | undefined, timeoutMs: number): Promise<void> {
  if (signal !== undefined) signalProcess(name, signal)
  await awaitCondition(
    `${name} to end${signal === undefined ? '' : ` after ${signal}`}`,
    () => (processId(name) === undefined ? true : undefined),
    {
      timeoutMs,
      intervalMs: 20,
    },
  )
  rmSync(pidPath(name), { force: true })
}

/** Field 22 of /proc/PID/stat; `undefined` for a process that is gone or a zombie. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

/** The last lines of a process' log, for errors. */
export function logTail(name: string, lines = 5): string {
  try {
    return readFileSync(logPath(name), 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return ''
  }
}
