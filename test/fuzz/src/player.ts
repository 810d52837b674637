/**
 * Plays classes on a thread of its own, so that an input that never ends, takes all memory or ends the program fails its class
 * by name, seed and number, and the next class is played all the same.
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { FuzzResult, FuzzSettings } from './class.ts'

/** What the thread is started with. */
export interface Play {
  modules: readonly string[]
  /** Written before each input: inputs begun so far, the input's number within its round, and the round's seed. */
  progress: Int32Array
}

/** What the thread is asked; its first answer, before any question, is its classes. */
export type Question = { play: string; settings: FuzzSettings } | { describe: string; number: number; seed: number }
export type Answer = { result: FuzzResult } | { text: string } | { failure: string }

/** A class as it is known outside of the thread. */
export interface Named {
  name: string
  /** Milliseconds after which what an input leaves open counts as a hang. */
  patience: number
}

interface PlayOptions {
  /** Told about every two seconds how many inputs were begun. */
  onProgress?: (begun: number) => void
  /** Milliseconds without a new input that count as a hang; a minute more than whatever is waited for unless said. */
  deadline?: number
}

export interface Player {
  /** The modules' classes, in their order. */
  classes(): Promise<readonly Named[]>
  /** Rejects with the reason, the input and how to play it again when something does not hold. */
  play(each: Named, settings: FuzzSettings, options?: PlayOptions): Promise<FuzzResult>
  close(): Promise<void>
}

/** Milliseconds between two looks. */
const lookEvery = 250
const progressEvery = 2000
/** MiB of a thread's heap, unless said: many times what all classes take, and less than machines have. */
const mostHeap = 512

/**
 * A player of what modules export as `classes`, one at a time. The thread is started when it is first needed, and
 * anew after one that died.
 */
export function createPlayer(modules: readonly URL[], maxOldGenerationSizeMb = mostHeap): Player {
  const progress = new Int32Array(new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT))
  const at = (index: number) => Atomics.load(progress, index)
  let thread: Worker | undefined
  let classes: readonly Named[] = []

  async function open(): Promise<Worker> {
    if (thread !== undefined) return thread
    const workerData: Play = { modules: modules.map(({ href }) => href), progress }
    thread = new Worker(fileURLToPath(new URL('play.ts', import.meta.url)), {
      workerData,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb },
    })
    const opened = thread
    // What a class has left behind may throw when nothing is asked: whoever asks next has another thread.
    opened.on('error', () => undefined)
    opened.on('exit', () => {
      if (thread === opened) thread = undefined
    })
    ;[classes] = (await once(opened, 'message')) as [readonly Named[]]
    return opened
  }

  async function close(): Promise<void> {
    const ended = thread
    thread = undefined
    await ended?.terminate()
  }

  async function ask(question: Question, ...others: readonly Promise<never>[]): Promise<Answer> {
    const asked = await open()
    const answered = new AbortController()
    const { signal } = answered
    const ended = once(asked, 'exit', { signal }).then(() => Promise.reject(new Error('ends the program')))
    asked.postMessage(question, [])
    try {
      // `once` rejects with what the thread died of.
      const [answer] = (await Promise.race([once(asked, 'message', { signal }), ended, ...others])) as [Answer]
      return answer
    } finally {
      answered.abort()
    }
  }

  /** The input at which the thread was, by another thread. */
  async function lastInput(name: string): Promise<string> {
    if (at(0) === 0) return 'no input yet'
    const answer = await ask({ describe: name, number: at(1), seed: at(2) })
    return 'text' in answer ? answer.text : JSON.stringify(answer)
  }

  return {
    async classes() {
      await open()
      return classes
    },
    async play({ name, patience }, settings, { deadline = 60_000 + 4 * patience, onProgress } = {}) {
      await open()
      progress.fill(0)
      const { hang, stop } = watch(() => at(0), deadline, onProgress)
      let answer: Answer
      try {
        answer = await ask({ play: name, settings }, hang)
      } catch (error) {
        await close()
        const reason = error instanceof Error ? error.message : String(error)
        throw new Error(`${name}: ${reason}\n${await lastInput(name)}`, { cause: error })
      } finally {
        stop()
      }
      if ('result' in answer) return answer.result
      throw new Error('failure' in answer ? answer.failure : `${name}: no result`)
    },
    close,
  }
}

/** Rejects `hang` when the number of inputs stays the same for `deadline` milliseconds. */
function watch(
  begun: () => number,
  deadline: number,
  onProgress?: (begun: number) => void,
): { hang: Promise<never>; stop: () => void } {
  let [seen, seenAt, toldAt] = [0, performance.now(), performance.now()]
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const now = performance.now()
      if (begun() !== seen) [seen, seenAt] = [begun(), now]
      else if (now - seenAt > deadline) reject(new Error(`does not end within ${deadline / 1000} s`))
      if (now - toldAt < progressEvery) return
      toldAt = now
      onProgress?.(seen)
    }, lookEvery)
  })
  return { hang, stop: () => clearInterval(timer) }
}
