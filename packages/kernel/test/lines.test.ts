import { expect, test } from 'vitest'
import { splitLines } from '../src/lines.ts'

test('lines come as they end, in whatever parts, and what is too long is cut', () => {
  const told: string[] = []
  const take = splitLines(10, (line) => told.push(line))
  for (const part of ['on', 'e\r\ntwo\n\nth', 'ree\n', 'x'.repeat(8), 'x'.repeat(1000), 'x\nlast\n', 'no end'])
    take(part)
  expect(told).toEqual(['one', 'two', '', 'three', 'x'.repeat(10), 'last'])
})
