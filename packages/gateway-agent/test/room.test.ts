import { expect, test } from 'vitest'
import { createRoomCheck } from '../src/room.ts'

/** What is said at each look: at a time in seconds, with so many entries of a hundred, after so many drops. */
function answers(
  looks: readonly (readonly [at: number, entries: number, drops: number] | undefined)[],
  age = 0,
): boolean[] {
  let place = 0
  const check = createRoomCheck({
    latestHandshake: () => 1_800_000_000 - age,
    now: () => 1_800_000_000,
    clock: () => looks[place]?.[0] ?? place,
    read() {
      const look = looks[place]
      return look === undefined ? undefined : { entries: look[1], limit: 100, drops: look[2] }
    },
  })
  return looks.map((_, index) => {
    place = index
    return check()
  })
}

test.each([
  [
    'more were dropped since the last look',
    [
      [1, 100, 5],
      [1.1, 101, 6],
      [1.2, 101, 6],
    ],
    0,
    [false, true, false],
  ],
  [
    'what was dropped long before the last look says nothing',
    [
      [1, 100, 5],
      [9, 100, 90],
      [9.1, 100, 91],
    ],
    0,
    [false, false, true],
  ],
  [
    'drops while there is room',
    [
      [1, 40, 5],
      [1.1, 40, 9],
    ],
    0,
    [false, false],
  ],
  ['a kernel that does not count', [undefined, undefined], 0, [false, false]],
  [
    'a session that lives',
    [
      [1, 100, 5],
      [1.1, 100, 9],
    ],
    180,
    [false, true],
  ],
  [
    'a session that has ended',
    [
      [1, 100, 5],
      [1.1, 100, 9],
    ],
    181,
    [false, false],
  ],
] as const)('%s', (_, looks, age, said) => {
  expect(answers(looks, age)).toEqual(said)
})
