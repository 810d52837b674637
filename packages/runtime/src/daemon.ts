/** Daemons that an agent keeps running, and that go on when the agent dies. */
import { spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Component } from './component.ts'
import { makeFifo, openFifo, readFifo, type Fifo } from './fifo.ts'
import { replaceFile } from './file.ts'
import type { Log } from './log.ts'

export type DaemonState = 'starting' | 'running' | 'crash-looping' | 'stopped'

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
}

export interface DaemonOptions {
  name: string
  argv: readonly [string, ...string[]]
  /** Directory for its pid file and its output's named pipe. */
  runDir: string
  log: Log
  /** Makes a log line of a line that the daemon wrote; undefined leaves it out. Info and as it is unless said. */
  parseLine?: (line: string) => LogLine | undefined
  /** Told whenever the daemon ended without having been asked to. */
  onExit?: (how: string) => void
  /** Told after each start, also when a running daemon of an earlier agent was taken over. */
  onStart?: (how: 'started' | 'adopted') => void
  env?: Readonly<Record<string, string>>
}

export interface SupervisedDaemon extends Component {
  readonly state: DaemonState
  readonly pid: number | undefined
  /** Starts after the first, by this agent. */
  readonly restarts: number
  /** How it ended last; undefined if it never did. */
  readonly lastExit: string | undefined
  /** Sends a signal to the daemon itself, as in `SIGHUP` for a reload; false when it does not run. */
  signal(signal: NodeJS.Signals): boolean
  /** Ends it hard, with its whole process group; it is started again. */
  kill(): void
}

/** Milliseconds before the first restart, and the most that doubling leads to. */
const firstBackoff = 500
const mostBackoff = 15_000
/** A daemon that ended this often within this many milliseconds is crash-looping. */
const loopExits = 3
const loopWindow = 60_000
/** Milliseconds between two looks at an adopted daemon, which is no child and cannot be waited for. */
const adoptedPoll = 300

interface Running {
  pid: number
  /** Resolves with how it ended. */
  ended: Promise<string>
}

/**
 * Supervises a daemon that stays in the foreground. Any end that was not asked for is a failure, exit code 0 as well
 * (keepalived ends so when it believes that another one runs). The daemon is in a process group of its own and writes
 * into a named pipe of which it holds both ends: when the agent is killed it goes on undisturbed, and the next agent
 * finds it by its pid file, checked against the process' start time, and takes it over.
 */
export function superviseDaemon(options: DaemonOptions): SupervisedDaemon {
  const { name, argv, runDir, log, parseLine = asInfo, onExit, onStart } = options
  const pidFile = `${runDir}/${name}.pid`
  const outputPath = `${runDir}/${name}.output`
  const exits: number[] = []
  let state: DaemonState = 'stopped'
  let running: Running | undefined
  let restarts = 0
  let lastExit: string | undefined
  let output: Fifo | undefined
  let loop: Promise<void> | undefined
  const stopping = new AbortController()

  function write(line: string): void {
    const parsed = parseLine(line)
    if (parsed !== undefined) log[parsed.level]({ daemon: name }, parsed.message)
  }

  async function launch(): Promise<Running> {
    const adopted = await findRunning(pidFile)
    if (adopted !== undefined) {
      log.info({ daemon: name, pid: adopted.pid }, 'taking over the daemon that runs already')
      onStart?.('adopted')
      return adopted
    }
    const [program, ...args] = argv
    const fd = openFifo(outputPath)
    try {
      // Node's own spawn: execa hands children no descriptor that is already open.
      const child = spawn(program, args, {
        detached: true,
        stdio: ['ignore', fd, fd],
        env: { ...process.env, LC_ALL: 'C', ...options.env },
      })
      const ended = new Promise<string>((resolve) => {
        child.once('error', (error) => resolve(error.message))
        child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
      })
      if (child.pid === undefined) throw new Error(`${program}: ${await ended}`)
      const started = await startTime(child.pid)
      if (started !== undefined) await replaceFile(pidFile, `${child.pid} ${started}\n`)
      log.info({ daemon: name, pid: child.pid }, 'daemon started')
      onStart?.('started')
      return { pid: child.pid, ended }
    } finally {
      closeSync(fd)
    }
  }

  async function supervise(first: Running): Promise<void> {
    let backoff = firstBackoff
    let current: Running | undefined = first
    while (current !== undefined) {
      running = current
      const since = Date.now()
      const how = await current.ended
      running = undefined
      current = undefined
      if (stopping.signal.aborted) return
      lastExit = how
      exits.push(Date.now())
      while ((exits[0] ?? Infinity) < Date.now() - loopWindow) exits.shift()
      state = exits.length >= loopExits ? 'crash-looping' : 'starting'
      log.error({ daemon: name, how, state }, 'daemon ended by itself')
      onExit?.(how)
      backoff = Date.now() - since > loopWindow ? firstBackoff : backoff
      while (current === undefined) {
        // Jitter keeps daemons of several pods that died together from coming back together.
        await delay(backoff * (0.75 + Math.random() / 2), undefined, { signal: stopping.signal }).catch(() => undefined)
        if (stopping.signal.aborted) return
        backoff = Math.min(2 * backoff, mostBackoff)
        restarts += 1
        current = await launch().catch((error: unknown) => {
          log.error(
            { daemon: name, error: error instanceof Error ? error.message : String(error) },
            'daemon did not start',
          )
          return undefined
        })
      }
      if (state === 'crash-looping') setTimeout(calm, loopWindow).unref()
      else state = 'running'
    }
  }

  /** A daemon that has not ended for a while is running again. */
  function calm(): void {
    const last = exits.at(-1) ?? 0
    if (running !== undefined && state === 'crash-looping' && Date.now() - last >= loopWindow) state = 'running'
  }

  function signalTo(target: number, signal: NodeJS.Signals): boolean {
    try {
      return process.kill(target, signal)
    } catch {
      return false
    }
  }

  return {
    name,
    get state() {
      return state
    },
    get pid() {
      return running?.pid
    },
    get restarts() {
      return restarts
    },
    get lastExit() {
      return lastExit
    },
    async start() {
      state = 'starting'
      await makeFifo(outputPath)
      output = await readFifo(outputPath, write)
      const first = await launch()
      state = 'running'
      loop = supervise(first)
    },
    async stop(deadline) {
      stopping.abort()
      const current = running
      if (current !== undefined) {
        signalTo(current.pid, 'SIGTERM')
        const late = new Promise<'late'>((resolve) =>
          deadline.addEventListener('abort', () => resolve('late'), { once: true }),
        )
        if (deadline.aborted || (await Promise.race([current.ended, late])) === 'late') {
          log.warn({ daemon: name }, 'daemon did not end in time: killed')
          signalTo(-current.pid, 'SIGKILL')
          await current.ended
        }
      }
      await loop
      state = 'stopped'
      running = undefined
      output?.close()
      await rm(pidFile, { force: true })
    },
    signal: (signal) => running !== undefined && signalTo(running.pid, signal),
    kill() {
      if (running !== undefined) signalTo(-running.pid, 'SIGKILL')
    },
  }
}

function asInfo(line: string): LogLine {
  return { level: 'info', message: line }
}

/** The daemon that the pid file names, if it still is that process. */
async function findRunning(pidFile: string): Promise<Running | undefined> {
  const text = await readFile(pidFile, 'utf8').catch(() => '')
  const match = /^(\d+) (\d+)$/.exec(text.trim())
  if (match === null) return undefined
  const pid = Number(match[1])
  const started = match[2]
  if (started === undefined || (await startTime(pid)) !== started) return undefined
  return { pid, ended: untilGone(pid, started) }
}

async function untilGone(pid: number, started: string): Promise<string> {
  while ((await startTime(pid)) === started) await delay(adoptedPoll)
  return 'gone'
}

/** Field 22 of /proc/PID/stat (proc(5)): with the pid it identifies a process. Undefined for a zombie or no process. */
async function startTime(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name in parentheses may hold blanks; what follows it does not.
  const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' || state === undefined || state === '' ? undefined : fields[18]
}
