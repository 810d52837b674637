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
  /** Told how many inputs are done, about every thousand. */
  onProgress?: (done: number) => void
}

export interface FuzzResult {
  name: string
  inputs: number
  seconds: number
  /** Bytes of heap after a collection, more than there were after the first thousand inputs; 0 for no more than those. */
  heapGrowth: number
  /** Milliseconds of the input that took longest, by the clock. */
  slowest: number
}

export interface FuzzClass {
  name: string
  /** Rejects with the reason, the input and the seed when something does not hold. */
  run(settings: FuzzSettings): Promise<FuzzResult>
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
}

/** Inputs between two looks at the heap and at the clock. */
const chunk = 1000
/** Bytes of heap that a class may end with more than it began with: compiled code and its caches, no memory of inputs. */
const mostGrowth = 16 * 1024 * 1024

export function fuzzClass<T>({
  name,
  inputs,
  check,
  prepare,
  most = 100,
  patience = 10_000,
}: FuzzDefinition<T>): FuzzClass {
  return {
    name,
    async run({ inputs: count, seed, slack = 1, onProgress }) {
      const started = performance.now()
      let [slowest, heap] = [0, 0]
      const property = fc.asyncProperty(inputs, async (input) => {
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
        for (let done = 0, round = 0; done < count; done += chunk, round += 1) {
          const found = await fc.check(property, {
            numRuns: Math.min(chunk, count - done),
            seed: (seed + round) | 0,
            endOnFailure: true,
          })
          if (found.failed) throw failure(name, found, (seed + round) | 0)
          if (round === 0 && count > chunk) heap = usedHeap()
          onProgress?.(Math.min(done + chunk, count))
        }
        if (count > chunk) heapGrowth = usedHeap() - heap
      } finally {
        await release?.()
      }
      const seconds = (performance.now() - started) / 1000
      if (heapGrowth > mostGrowth) throw new Error(`${name}: the heap grew by ${heapGrowth} bytes`)
      return { name, inputs: count, seconds, heapGrowth, slowest }
    },
  }
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

function failure(name: string, found: { counterexample: unknown; errorInstance?: unknown }, seed: number): Error {
  const input = fc.stringify(found.counterexample)
  const cut = input.length > 2000 ? `${input.slice(0, 2000)}… (${input.length} characters)` : input
  const { errorInstance: error } = found
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return new Error(
    `${name}: ${reason}\ninput: ${cut}\nagain by: npm run fuzz -- --class ${JSON.stringify(name)} --seed ${seed} --inputs ${chunk}`,
    { cause: error },
  )
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
