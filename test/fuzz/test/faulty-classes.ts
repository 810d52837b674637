/** Classes with faults that their player has to name. */
import fc from 'fast-check'
import { fuzzClass, type FuzzClass } from '../src/class.ts'

const numbers = fc.integer({ min: 1, max: 1000 })
const kept: unknown[] = []

export const classes: readonly FuzzClass[] = [
  fuzzClass({ name: 'sound', inputs: numbers, check: () => undefined }),
  fuzzClass({
    name: 'endless',
    inputs: numbers,
    check(input) {
      for (let [found, turns] = [input % 100 === 7, 0]; found; turns += 1) found = turns >= 0
    },
  }),
  fuzzClass({
    name: 'endless pattern',
    inputs: fc.constant('a'.repeat(60)),
    check: (input) => /^(a+)+$/.test(`${input}!`),
  }),
  fuzzClass({
    name: 'greedy',
    inputs: numbers,
    check() {
      const all: unknown[] = []
      for (;;) all.push(Array<number>(100_000).fill(0.5))
    },
  }),
  fuzzClass({
    name: 'deadly',
    inputs: numbers,
    check() {
      setImmediate(() => {
        throw new Error('thrown where nobody catches it')
      })
      return new Promise(() => undefined)
    },
  }),
  fuzzClass({ name: 'exiting', inputs: numbers, check: () => process.exit(3) }),
  fuzzClass({
    name: 'keeping',
    inputs: numbers,
    check: (input) => void kept.push(Array<number>(1000).fill(input)),
  }),
]
