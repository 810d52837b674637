import { expect, test } from 'vitest'
import { createRoomCheck } from '../src/room.ts'

/** What is said at each time, in seconds, by what the counter of drops reads then. */
function answers(
  looks: readonly (readonly [seconds: number, drops: number | undefined])[],
  handshake = 1000,
): boolean[] {
  let place = 0
  const check = createRoomCheck({
    latestHandshake: () => handshake,
    drops: () => looks[place]?.[1],
    now: () => (looks[place]?.[0] ?? 0) * 1000,
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
      [1001, 5],
      [1001.1, 6],
      [1001.2, 6],
    ],
    [false, true, false],
  ],
  [
    'what was dropped long before the last look says nothing',
    [
      [1001, 5],
      [1050, 90],
      [1050.1, 91],
    ],
    [false, false, true],
  ],
  [
    'a kernel that does not count',
    [
      [1001, undefined],
      [1001.1, undefined],
    ],
    [false, false],
  ],
  [
    'a session that has ended',
    [
      [1180.5, 5],
      [1180.6, 9],
    ],
    [false, false],
  ],
] as const)('%s', (_, looks, said) => {
  expect(answers(looks)).toEqual(said)
})

test('without any handshake nothing is known of the peer', () => {
  expect(
    answers(
      [
        [1001, 5],
        [1001.1, 9],
      ],
      0,
    ),
  ).toEqual([false, false])
})
