/** Daemons that an agent keeps running, and that go on when the agent dies. */
import { spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { readFile, readlink, rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Component } from './component.ts'
import { makeFifo, openFifo, readFifo, type Fifo } from './fifo.ts'
import { replaceFile } from './file.ts'
import type { Log } from './log.ts'
import { endGroup, signalTo, startTime } from './process.ts'

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
  /**
   * Files by which the daemon believes that it runs already, its own pid and lock files. They outlive one that was killed,
   * and in a restarted container, where the directory stays, whatever has the id by then is taken for it.
   */
  leftovers?: readonly string[]
}

export interface SupervisedDaemon extends Component {
  readonly state: DaemonState
  readonly pid: number | undefined
  /** Starts after the first, by this agent. */
  readonly restarts: number
  /** How it ended last; undefined if it never did. */
  readonly lastExit: string | undefined
  /** Sends a signal to the daemon itself, as in `SIGHUP` for a reload, or a real-time one by its number; false when it does not run. */
  signal(signal: NodeJS.Signals | number): boolean
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
/** Milliseconds that children of a daemon which ended by itself have before they are killed. */
const childPatience = 2000

interface Running {
  pid: number
  /** Resolves with how it ended. */
  ended: Promise<string>
}

/**
 * Supervises a daemon that stays in the foreground. Any end that was not asked for is a failure, exit code 0 as well
 * (keepalived ends so when it believes that another one runs). The daemon is in a process group of its own and writes
 * into a named pipe of which it holds both ends: when the agent is killed it goes on undisturbed, and the next agent
 * finds it by its pid file, checked against the process' start time and network namespace, and takes it over. Children
 * that a daemon leaves behind are ended before the next one starts, and when it is stopped.
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
  let beginning: Promise<void> | undefined
  let launching: Promise<unknown> | undefined
  const stopping = new AbortController()
  /** Aborts when stopping has no more time. */
  const overdue = new AbortController()

  function write(line: string): void {
    const parsed = parseLine(line)
    if (parsed !== undefined) log[parsed.level]({ daemon: name }, parsed.message)
  }

  /** Whoever stops the daemon waits for this, or would miss the process that is just being made. */
  function launch(): Promise<Running> {
    const pending = adoptOrSpawn().then((made) => (running = made))
    launching = pending.catch(() => undefined)
    return pending
  }

  async function adoptOrSpawn(): Promise<Running> {
    const adopted = await findRunning(pidFile)
    if (adopted !== undefined) {
      log.info({ daemon: name, pid: adopted.pid }, 'taking over the daemon that runs already')
      onStart?.('adopted')
      return adopted
    }
    await Promise.all((options.leftovers ?? []).map((path) => rm(path, { force: true })))
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
      try {
        const started = await startTime(child.pid)
        if (started !== undefined) await replaceFile(pidFile, `${child.pid} ${started}\n`)
      } catch (error) {
        // Without its pid file nobody would find it again.
        signalTo(-child.pid, 'SIGKILL')
        throw error
      }
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
      const { pid }: Running = current
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
      await endGroup(pid, AbortSignal.any([AbortSignal.timeout(childPatience), overdue.signal]))
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

  async function begin(): Promise<void> {
    state = 'starting'
    await makeFifo(outputPath)
    output = await readFifo(outputPath, write)
    const first = await launch()
    state = 'running'
    loop = supervise(first)
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
    start() {
      beginning = begin()
      return beginning
    },
    async stop(deadline) {
      stopping.abort()
      if (deadline.aborted) overdue.abort()
      else deadline.addEventListener('abort', () => overdue.abort(), { once: true })
      await Promise.allSettled([beginning, launching])
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
        await endGroup(current.pid, deadline)
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
  const held = parsePidFile(text)
  if (held === undefined) return undefined
  const { pid, started } = held
  if ((await startTime(pid)) !== started) return undefined
  if (!(await inOwnNetwork(pid))) return undefined
  return { pid, ended: untilGone(pid, started) }
}

/** What such a file says: a process, and when it started as `startTime` tells; undefined for any other text. */
export function parsePidFile(text: string): { pid: number; started: string } | undefined {
  const [, pid, started] = /^([1-9]\d{0,9}) (\d+)$/.exec(text.trim()) ?? []
  return pid === undefined || started === undefined ? undefined : { pid: Number(pid), started }
}

/** A daemon in another network namespace serves another pod. One that may not be looked at is taken for our own. */
async function inOwnNetwork(pid: number): Promise<boolean> {
  const own = await readlink('/proc/self/ns/net')
  return (await readlink(`/proc/${pid}/ns/net`).catch(() => own)) === own
}

async function untilGone(pid: number, started: string): Promise<string> {
  while ((await startTime(pid)) === started) await delay(adoptedPoll)
  return 'gone'
}
