/** The same classes in the ordinary run of unit tests: few inputs, other ones each time. */
import { expect, test } from 'vitest'
import type { FuzzClass } from './class.ts'

/** Inputs of each class; `npm run fuzz` gives a hundred times as many. */
const inputs = 1000
/** Whoever runs all tests at once, on a machine that is slow, has less of the processor than `npm run fuzz`. */
const slack = 10

/** A test for each class; the seed is in the error. */
export function testClasses(classes: readonly FuzzClass[]): void {
  test.each(classes.map((each) => [each.name, each] as const))('%s', { timeout: 120_000 }, async (_name, each) => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    await expect(each.run({ inputs, seed, slack })).resolves.toMatchObject({ inputs })
  })
}
