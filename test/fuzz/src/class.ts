/** One kind of input that an agent reads, and what has to hold whatever it is given. */
import fc from 'fast-check'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export interface FuzzSettings {
  inputs: number
  /** Any whole number; the same one makes the same inputs. */
  seed: number
  /** What one input may take is multiplied by this; more than 1 for machines that may be slow. */
  slack?: number
}

export interface FuzzResult {
  name: string
  inputs: number
  seconds: number
  /** Bytes of heap after a collection, more than there were after the first inputs; 0 for no more than those. */
  heapGrowth: number
  /** Milliseconds of the input that took longest, by the clock. */
  slowest: number
}

/** Told of an input before it is checked: its number within its round, from 1, and the seed of the round. */
export type OnInput = (number: number, seed: number) => void

export interface FuzzClass {
  name: string
  /** Milliseconds after which what `check` leaves open counts as a hang. */
  patience: number
  /** Rejects with the reason, the input and the seed when something does not hold. Does not end when an input does not. */
  run(settings: FuzzSettings, onInput?: OnInput): Promise<FuzzResult>
  /** What is printed of an input that was told of, and of how to play it again. */
  describe(number: number, seed: number): string
}

export interface FuzzDefinition<T> {
  name: string
  inputs: fc.Arbitrary<T>
  /** Throws or rejects when something does not hold. What it leaves open counts as a hang. */
  check: (input: T) => unknown
  /** Called before the first input; what it resolves to is called after the last. */
  prepare?: () => Promise<() => Promise<void>>
  /** Milliseconds of processor time that one input may take; 100 unless said. */
  most?: number
  /** Milliseconds after which what `check` leaves open counts as a hang; 10,000 unless said. */
  patience?: number
  /** Only every so manieth input of others is made of this class, whose inputs are large; 1 unless said. */
  every?: number
}

/** Inputs with one seed of their own, at most; the heap is looked at between two rounds. */
const round = 250
/**
 * Bytes of heap that a class may end with more than it had after its first round: compiled code and its caches are a part that
 * many inputs have and a few do not, and then nothing of an input may stay.
 */
const mostGrowth = { ever: 12 * 1024 * 1024, ofInput: 4 * 1024 } as const

export function fuzzClass<T>(definition: FuzzDefinition<T>): FuzzClass {
  const { name, inputs, check, prepare, most = 100, patience = 10_000, every = 1 } = definition

  function describe(input: unknown, number: number, seed: number): string {
    const text = fc.stringify(input)
    const cut = text.length > 2000 ? `${text.slice(0, 2000)}… (${text.length} characters)` : text
    const again = `npm run fuzz -- --class ${JSON.stringify(name)} --seed ${seed} --inputs ${number * every}`
    return `input ${number} of seed ${seed}: ${cut}\nagain by: ${again}`
  }

  return {
    name,
    patience,
    describe(number, seed) {
      return describe(fc.sample(inputs, { seed, numRuns: number }).at(-1), number, seed)
    },
    async run({ inputs: asked, seed, slack = 1 }, onInput) {
      const started = performance.now()
      const count = Math.ceil(asked / every)
      let [slowest, heap, number, roundSeed] = [0, 0, 0, 0]
      const property = fc.asyncProperty(inputs, async (input) => {
        number += 1
        onInput?.(number, roundSeed)
        const began = performance.now()
        const open = check(input)
        const took = performance.now() - began
        slowest = Math.max(slowest, took)
        if (took > most * slack) await requireQuick(() => check(input), most * slack, patience)
        if (open instanceof Promise) await settled(open, patience)
      })
      const release = await prepare?.()
      let heapGrowth = 0
      try {
        for (let [done, rounds] = [0, 0]; done < count; rounds += 1) {
          number = 0
          roundSeed = (seed + rounds) | 0
          // The first is what the heap is compared with, so that there has to be something after it.
          const numRuns = rounds === 0 ? Math.min(round, Math.ceil(count / 4)) : Math.min(round, count - done)
          const found = await fc.check(property, { numRuns, seed: roundSeed, endOnFailure: true })
          if (found.failed) {
            const said = describe(found.counterexample?.[0], number, roundSeed)
            throw new Error(`${name}: ${reasonOf(found.errorInstance)}\n${said}`, { cause: found.errorInstance })
          }
          if (rounds === 0) heap = usedHeap()
          done += numRuns
        }
        heapGrowth = Math.max(0, usedHeap() - heap)
      } finally {
        await release?.()
      }
      const seconds = (performance.now() - started) / 1000
      if (heapGrowth > Math.min(mostGrowth.ever, mostGrowth.ofInput * count * every))
        throw new Error(`${name}: the heap grew by ${heapGrowth} bytes over ${count} inputs`)
      return { name, inputs: count, seconds, heapGrowth, slowest }
    },
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Other processes may have had the processor: what counts is the least of three times that this thread itself used. */
async function requireQuick(work: () => unknown, most: number, patience: number): Promise<void> {
  let least = Number.POSITIVE_INFINITY
  for (let times = 0; times < 3 && least > most; times += 1) {
    const before = process.threadCpuUsage()
    const open = work()
    const { user, system } = process.threadCpuUsage(before)
    least = Math.min(least, (user + system) / 1000)
    if (open instanceof Promise) await settled(open, patience)
  }
  if (least > most) throw new Error(`takes ${Math.round(least)} ms of the processor: expected at most ${most}`)
}

async function settled(open: Promise<unknown>, patience: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`still open after ${patience / 1000} s`)), patience)
  })
  try {
    await Promise.race([open, late])
  } finally {
    clearTimeout(timer)
  }
}

let collect: (() => void) | undefined

/** Bytes in use after a collection. */
function usedHeap(): number {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
  return process.memoryUsage().heapUsed
}
