/** The host's end of the job channel: a directory for each job on the share, and a line that rings for it. */
import { type FSWatcher, watch } from 'node:fs'
import { type FileHandle, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { compileCache, repositoryRoot } from '../paths.ts'
import type { ExecOptions, Machine } from './machine.ts'

export interface JobChannel {
  /** The share as the host sees it. */
  share: string
  /** Delivers one order to the machine: `run N`, `kill N SIGNAL` or `off`. Rejects when nobody listens any more. */
  ring: (order: string) => Promise<void>
  /** Why the machine can run nothing any more, or undefined while it can. */
  ended: () => string | undefined
}

/** PATH, HOME and locale of every command inside; this process' own Node comes first. */
export function insideEnvironment(home: string): Record<string, string> {
  return {
    PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: home,
    LANG: 'C.UTF-8',
    NODE_COMPILE_CACHE: compileCache(),
  }
}

/** Milliseconds between two looks at a job that nothing was heard of; inotify tells most of what happens sooner. */
const LOOK_MS = 250
/** Milliseconds from the polite signal to the one that cannot be caught. */
const GRACE_MS = 3000
const CHUNK = 256 * 1024

interface Bell {
  /** Resolves at once if something changed since the last call, else at the next change or after `milliseconds`. */
  next: (milliseconds: number) => Promise<void>
  close: () => void
}

/** Tells of changes in a directory. What a virtual machine writes, QEMU writes: a process of this host, so inotify sees it. */
function createBell(directory: string): Bell {
  let rung = false
  let wake = (): void => {}
  const ring = (): void => {
    rung = true
    wake()
  }
  let watcher: FSWatcher | undefined
  try {
    watcher = watch(directory, ring)
    watcher.on('error', () => watcher?.close())
  } catch {
    // No inotify instance is left for this user: the slow look serves.
  }
  return {
    async next(milliseconds) {
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, milliseconds)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
      rung = false
    },
    close: () => watcher?.close(),
  }
}

interface Tail {
  read: () => Promise<void>
  close: () => Promise<void>
}

/** Follows a growing file and hands on what is new as text. */
function tail(path: string, onText: (text: string) => void): Tail {
  const decoder = new StringDecoder('utf8')
  const buffer = Buffer.alloc(CHUNK)
  let file: FileHandle | undefined
  let offset = 0
  return {
    async read() {
      file ??= await open(path, 'r').catch(() => undefined)
      if (!file) return
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, CHUNK, offset)
        if (bytesRead === 0) return
        offset += bytesRead
        const text = decoder.write(buffer.subarray(0, bytesRead))
        if (text !== '') onText(text)
      }
    },
    async close() {
      const rest = decoder.end()
      if (rest !== '') onText(rest)
      await file?.close()
    },
  }
}

const nulSeparated = (words: readonly string[]): string => words.map((word) => `${word}\0`).join('')

/** Makes `exec` over a job channel; several processes may use one channel, each with job names of its own. */
export function createExec(channel: JobChannel): Machine['exec'] {
  let count = 0
  return async (argv, options: ExecOptions = {}) => {
    const job = `${process.pid}-${++count}`
    const directory = join(channel.share, 'jobs', job)
    await mkdir(directory, { recursive: true })
    const env = Object.entries({ ...insideEnvironment('/run/home'), ...options.env })
    await writeFile(join(directory, 'argv'), nulSeparated(argv))
    await writeFile(join(directory, 'env'), nulSeparated(env.map(([name, value]) => `${name}=${value}`)))
    await writeFile(join(directory, 'cwd'), options.cwd ?? repositoryRoot())

    const tails = (['stdout', 'stderr'] as const).map((stream) =>
      tail(join(directory, stream), (text) => options.onOutput?.(text, stream)),
    )
    const bell = createBell(directory)
    const kill = (signal: string): void => void channel.ring(`kill ${job} ${signal}`).catch(() => {})
    const onAbort = (): void => kill('TERM')
    const limit = options.timeoutMs ?? Number.POSITIVE_INFINITY
    const expire = (): void => kill('TERM')
    const finish = (): void => kill('KILL')
    const started = performance.now()
    const timers = Number.isFinite(limit) ? [setTimeout(expire, limit), setTimeout(finish, limit + GRACE_MS)] : []
    options.signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await channel.ring(`run ${job}`)
      if (options.signal?.aborted) onAbort()
      for (;;) {
        const code = (await readFile(join(directory, 'exit'), 'utf8').catch(() => '')) || undefined
        const ended = channel.ended()
        for (const each of tails) await each.read()
        const elapsed = performance.now() - started
        if (elapsed > (code === undefined ? limit + 2 * GRACE_MS : limit)) {
          throw new Error(`${argv.join(' ')}: did not end within ${limit / 1000} s`)
        }
        if (code !== undefined) return { exitCode: Number(code) }
        if (ended !== undefined) throw new Error(`${argv.join(' ')}: ${ended}`)
        await bell.next(LOOK_MS)
      }
    } finally {
      timers.forEach(clearTimeout)
      options.signal?.removeEventListener('abort', onAbort)
      bell.close()
      for (const each of tails) await each.close()
      await rm(directory, { recursive: true, force: true })
    }
  }
}
