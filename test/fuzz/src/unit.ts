/** The same classes in the ordinary run of unit tests: few inputs, other ones each time. */
import { afterAll, expect, test } from 'vitest'
import { createPlayer } from './player.ts'

/** Inputs of each class; `npm run fuzz` gives a hundred times as many. */
const inputs = 1000
/** Of a class whose inputs are large. */
const leastInputs = 5
/** Whoever runs all tests at once, on a machine that is slow, has less of the processor than `npm run fuzz`. */
const slack = 10

/** A test for each of the module's classes; the seed is in the error. */
export async function testClasses(module: URL): Promise<void> {
  const player = createPlayer([module])
  afterAll(() => player.close())
  const classes = await player.classes()
  test.each(classes.map((each) => [each.name, each] as const))('%s', { timeout: 180_000 }, async (_name, each) => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const { inputs: played } = await player.play(each, { inputs, seed, slack })
    expect(played).toBeGreaterThanOrEqual(leastInputs)
  })
}
