import { expect, test } from 'vitest'
import { splitLines } from '../src/lines.ts'

test('lines come as they end, in whatever parts, and what is too long is cut', () => {
  const told: string[] = []
  const take = splitLines(10, (line) => told.push(line))
  for (const part of ['on', 'e\r\ntwo\n\nth', 'ree\n', 'x'.repeat(8), 'x'.repeat(1000), 'x\nlast\n', 'no end'])
    take(part)
  expect(told).toEqual(['one', 'two', '', 'three', 'x'.repeat(10), 'last'])
})

test('of a line that is too long no further part costs more than it is long', () => {
  const take = splitLines(4 * 1024 * 1024, () => undefined)
  take('x'.repeat(5 * 1024 * 1024))
  const before = process.cpuUsage()
  for (let parts = 0; parts < 20_000; parts += 1) take('y')
  const { user, system } = process.cpuUsage(before)
  // Copying four megabytes each time took seconds.
  expect((user + system) / 1000).toBeLessThan(1000)
})
