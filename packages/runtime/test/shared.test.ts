import { expect, test } from 'vitest'
import { shared } from '../src/shared.ts'

test('whoever asks while one run is under way shares it; the next one begins anew, also after a failure', async () => {
  let runs = 0
  const task = shared(async () => {
    runs += 1
    if (runs === 2) throw new Error('no')
    return runs
  })
  expect(await Promise.all([task(), task(), task()])).toEqual([1, 1, 1])
  await expect(Promise.all([task(), task()])).rejects.toThrow('no')
  expect(await task()).toBe(3)
})
