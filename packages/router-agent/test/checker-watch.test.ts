import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { afterLook, createCheckerWatch, type CheckerPulse } from '../src/checker-watch.ts'

type Look = readonly [beats: string, late?: number]

/** Looks every two seconds at these beats, some by so many milliseconds later. */
function looks(...seen: readonly Look[]): { stuck: number; ended: boolean } {
  let pulse: CheckerPulse | undefined
  let now = 0
  let stuck = 0
  for (const [beats, late = 0] of seen) {
    now += 2000 + late
    const look = afterLook(pulse, beats, now)
    pulse = look.pulse
    if (look.stuck) stuck += 1
  }
  return { stuck, ended: pulse?.ended ?? false }
}
const times = (count: number, beats: string): Look[] => Array.from({ length: count }, () => [beats] as const)

test.each<[string, Look[]]>([
  ['sleeps and wakes', [['7 1'], ['7 2'], ['7 3'], ['7 4'], ['7 5'], ['7 6'], ['7 7'], ['7 8']]],
  ['is not there', times(20, '')],
  ['shows life every eight seconds', [...times(4, '7 1'), ...times(4, '7 2'), ...times(4, '7 3')]],
  ['is looked at late, as the machine stood still', [...times(5, '7 1'), ['7 1', 60_000], ...times(4, '7 1')]],
])('a checker that %s is left alone', (_what, seen) => {
  expect(looks(...seen)).toEqual({ stuck: 0, ended: false })
})

test('one that is still for ten seconds is ended, once in ten seconds, and is well again when it beats', () => {
  const still = times(6, '7 1')
  expect(looks(...times(5, '7 1'))).toEqual({ stuck: 0, ended: false })
  expect(looks(...still)).toEqual({ stuck: 1, ended: true })
  expect(looks(...times(10, '7 1')).stuck).toBe(1)
  expect(looks(...times(11, '7 1')).stuck).toBe(2)
  expect(looks(...still, ['']).ended).toBe(true)
  expect(looks(...still, [''], ['9 1']).ended).toBe(false)
})

test('a process that is stopped is killed, and it is said; not while keepalived does not run', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'checker-watch-'))
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  const ended = once(child, 'exit')
  const pidFile = join(directory, 'checkers.pid')
  await writeFile(pidFile, `${child.pid}\n`)
  const error = vi.fn<(fields: object, message: string) => void>()
  let running = false
  let now = 0
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
  const patient = globalThis.setTimeout
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const watch = createCheckerWatch({ pidFile, running: () => running, log: { error, warn: error } as never })
  const pass = async (looksWanted: number) => {
    for (let look = 0; look < looksWanted; look += 1) {
      now += 2000
      // Each look reads files, in real time, before it sets the timer for the next one.
      while (vi.getTimerCount() === 0) await new Promise((resolve) => patient(resolve, 1))
      vi.runOnlyPendingTimers()
    }
  }
  try {
    await watch.start(new AbortController().signal)
    await pass(20)
    expect(error).not.toHaveBeenCalled()
    running = true
    await pass(8)
    expect(await ended).toEqual([null, 'SIGKILL'])
    expect(error).toHaveBeenCalledWith({ pid: child.pid }, expect.stringMatching(/checker is stuck/))
    expect(watch.problems()).toHaveLength(1)
    await watch.stop(new AbortController().signal)
  } finally {
    vi.useRealTimers()
    clock.mockRestore()
    child.kill('SIGKILL')
    await rm(directory, { recursive: true })
  }
})
