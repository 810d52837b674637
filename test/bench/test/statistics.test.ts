import { expect, test } from 'vitest'
import { median, ratios, worst } from '../src/statistics.ts'

test('the median is a value that was measured, the upper one of two in the middle', () => {
  expect(median([30, 1, 2])).toBe(2)
  expect(median([100, 9, 20, 3])).toBe(20)
  expect(median([])).toBeNaN()
})

test('the worst is the greatest', () => {
  expect(worst([3, 30, 4])).toBe(30)
  expect(worst([])).toBeNaN()
})

test('values of one round are compared with each other, not with those of another', () => {
  expect(ratios([10, 4], [20, 4])).toEqual([0.5, 1])
})
