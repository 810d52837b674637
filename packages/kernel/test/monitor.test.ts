import { once, EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { watchNetlink } from '../src/monitor.ts'

test('a watch tells of lines that tell of changes, and of no others', async () => {
  const events = new EventEmitter()
  let told = 0
  const printed = '# new generation 2\\nx valid_lft 9sec\\nadd rule\\nDeleted y\\n'
  const watch = watchNetlink(
    (object) => {
      told += 1
      if (told === 2) events.emit(object)
    },
    [{ argv: ['sh', '-c', `printf '${printed}'; exec sleep 60`], object: 'netfilter' }],
  )
  const both = once(events, 'netfilter')
  await watch.start(AbortSignal.timeout(10_000))
  await both
  await watch.stop(AbortSignal.timeout(10_000))
  expect(told).toBe(2)
})
