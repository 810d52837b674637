import { afterAll, expect, test } from 'vitest'
import { createPlayer } from '../src/player.ts'

const player = createPlayer([new URL('faulty-classes.ts', import.meta.url)], 64)
afterAll(() => player.close())

const settings = { inputs: 1000, seed: 1 }
const named = (name: string) => ({ name, patience: 1000 })

test.each([
  ['endless', /^endless: does not end within 2 s\ninput (\d+) of seed 1: \d*?0?7\nagain by: .* --seed 1 --inputs \1$/],
  ['endless pattern', /^endless pattern: does not end within 2 s\ninput 1 of seed 1: "a{60}"/],
  ['greedy', /^greedy: .*memory.*\ninput 1 of seed 1: \d+/],
  ['deadly', /^deadly: thrown where nobody catches it\ninput 1 of seed 1: \d+/],
  ['exiting', /^exiting: ends the program\ninput 1 of seed 1: \d+/],
  ['keeping', /^keeping: the heap grew by \d+ bytes over 1000 inputs$/],
])('an input that is %s fails its class, and the next one is played', { timeout: 120_000 }, async (name, said) => {
  const failure = await player
    .play(named(name), settings, { deadline: name.startsWith('endless') ? 2000 : 60_000 })
    .catch((error: Error) => error.message)
  expect(failure).toMatch(said)
  await expect(player.play(named('sound'), settings)).resolves.toMatchObject({ name: 'sound', inputs: 1000 })
})
