import { expect, test } from 'vitest'
import { readScale } from '../src/scale.ts'

test('numbers that were typed, and no others', () => {
  expect(readScale({})).toEqual({})
  expect(readScale({ flows: '10000,50000', rounds: '20', seconds: '5' })).toEqual({
    flows: [10_000, 50_000],
    rounds: 20,
    seconds: 5,
  })
})

test.each([
  [{ flows: '29' }, '--flows: "29": expected a whole number from 30 to 100000'],
  [{ flows: '100,' }, '--flows: "": expected a whole number from 30 to 100000'],
  [{ rounds: '0' }, '--rounds: "0": expected a whole number from 1 to 1000'],
  [{ seconds: '1.5' }, '--seconds: "1.5": expected a whole number from 1 to 3600'],
])('%o is refused in one line', (values, line) => {
  expect(() => readScale(values)).toThrow(line)
})
