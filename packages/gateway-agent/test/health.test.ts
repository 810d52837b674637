import { describe, expect, test } from 'vitest'
import { createRunningClock } from '../src/clock.ts'
import {
  afterFull,
  afterProbe,
  afterReading,
  dueProbes,
  initialHealth,
  tunnelState,
  type Health,
} from '../src/health.ts'

const settings = { interval: 1, timeout: 1, window: 3 }
const targets = ['192.0.2.1:443', '192.0.2.2:443']
/** As after a burst that nothing answered. */
const probedInVain = (health: Health) => ({ ...health, unanswered: 16 })
const answer = (health: Health, at: number, target = targets[0] ?? '') =>
  afterProbe(health, { target, at, latency: 0.02 })

describe('state', () => {
  test('starts, is up with the first answer, down a window after the last one, up again with the next', () => {
    let health = initialHealth(100)
    expect(tunnelState(health, 101, settings)).toBe('starting')
    health = answer(health, 102)
    expect(tunnelState(health, 102, settings)).toBe('up')
    health = probedInVain(health)
    expect(tunnelState(health, 105, settings)).toBe('up')
    expect(tunnelState(health, 105.01, settings)).toBe('down')
    health = answer(health, 130)
    expect(tunnelState(health, 130, settings)).toBe('up')
  })

  test('a tunnel that never answered is down after one window', () => {
    expect(tunnelState(initialHealth(100), 103.5, settings)).toBe('down')
  })

  test('failures alone change nothing; an answer of any target counts and clears its own failure', () => {
    let health = answer(initialHealth(0), 1)
    for (const target of targets) health = afterProbe(health, { target, at: 2, failure: 'ECONNREFUSED' })
    expect(tunnelState(health, 2, settings)).toBe('up')
    health = answer(health, 2.5, targets[1])
    expect(health.failures).toEqual({ '192.0.2.1:443': 'ECONNREFUSED' })
  })

  test('a machine too slow to probe sixteen times within a window gets one more window, and no third', () => {
    const health = { ...probedInVain(answer(initialHealth(0), 1)), unanswered: 15 }
    expect(tunnelState(health, 5, settings)).toBe('up')
    expect(tunnelState(probedInVain(health), 5, settings)).toBe('down')
    expect(tunnelState(answer(probedInVain(health), 4), 9, settings)).toBe('up')
    expect(tunnelState(health, 7.01, settings)).toBe('down')
  })

  test('a late answer to an early probe does not move the last answer back', () => {
    expect(answer(answer(initialHealth(0), 9), 8).lastAnswerAt).toBe(9)
  })
})

describe('much traffic proves what an answer proved first', () => {
  const reading = (health: Health, at: number, bytes: number) => afterReading(health, at, bytes)

  test('a full tunnel that loses every probe is not dead, and is one window after the traffic ends', () => {
    let health = reading(answer(initialHealth(0), 1), 1, 0)
    for (let at = 2; at <= 30; at++) health = reading(health, at, at * 1_000_000)
    health = probedInVain(health)
    expect(tunnelState(health, 33, settings)).toBe('up')
    for (let at = 31; at <= 34; at++) health = reading(health, at, 30_000_000 + at * 500)
    expect(tunnelState(health, 33.5, settings)).toBe('down')
  })

  test("a peer's own packets are no proof, nor is a counter that began again", () => {
    let health = reading(answer(initialHealth(0), 1), 1, 900_000_000)
    for (let at = 2; at <= 10; at++) health = reading(health, at, at * 20_000)
    expect(tunnelState(health, 10, settings)).toBe('down')
  })

  test('nothing is proved before the first answer', () => {
    const health = reading(reading(initialHealth(0), 1, 0), 2, 10_000_000)
    expect(tunnelState(health, 2.5, settings)).toBe('starting')
    expect(tunnelState(health, 4, settings)).toBe('down')
  })
})

describe('probes that find no room', () => {
  const full = (health: Health, from: number, to: number) => {
    let next = health
    for (let at = from; at <= to; at++) next = afterFull(next, at, settings)
    return next
  }

  test('their silence says nothing, and sixteen others have to go by before it does', () => {
    const health = full(probedInVain(answer(initialHealth(0), 1)), 3, 60)
    expect(health.unanswered).toBe(0)
    expect(tunnelState(probedInVain(health), 63, settings)).toBe('up')
    expect(tunnelState(probedInVain(health), 63.01, settings)).toBe('down')
    // Bursts begin anew when there is room.
    expect(dueProbes(health, 61, settings, targets).targets).toEqual(targets)
    expect(dueProbes(health, 61.2, settings, targets).targets).toEqual(targets)
  })

  test('a tunnel that was not proved for as long as a session lives is down', () => {
    const health = full(answer(initialHealth(0), 1), 3, 400)
    expect(tunnelState(health, 180, settings)).toBe('up')
    expect(tunnelState(probedInVain(health), 184.01, settings)).toBe('down')
  })

  test('what is down stays down', () => {
    const health = probedInVain(answer(initialHealth(0), 1))
    expect(tunnelState(health, 5, settings)).toBe('down')
    expect(tunnelState(full(health, 5, 60), 60, settings)).toBe('down')
  })

  test('an agent that begins meanwhile goes on beginning', () => {
    expect(tunnelState(full(initialHealth(0), 1, 60), 60, settings)).toBe('starting')
    expect(tunnelState(initialHealth(0), 60, settings)).toBe('down')
  })
})

describe('what to probe', () => {
  /** Times and targets of the probes within a span, when nothing answers after `lastAnswerAt`. */
  function probes(from: Health, start: number, seconds: number): [number, string[]][] {
    const found: [number, string[]][] = []
    let health = from
    for (let now = start; now < start + seconds; now += 0.075) {
      const due = dueProbes(health, now, settings, targets)
      health = due.health
      if (due.targets.length > 0) found.push([now - start, due.targets])
    }
    return found
  }

  test('one target in turn, once an interval, while answers come', () => {
    let health = answer(initialHealth(0), 0)
    const seen: string[] = []
    for (let now = 0; now < 4; now += 0.125) {
      const due = dueProbes(health, now, settings, targets)
      health = due.targets.length > 0 ? answer(due.health, now) : due.health
      seen.push(...due.targets)
    }
    expect(seen).toEqual([targets[0], targets[1], targets[0], targets[1]])
  })

  test('a burst on all targets once an answer is late, so that a window holds many tries', () => {
    const late = probes(answer(initialHealth(0), 0), 0, 3)
    expect(late.filter(([at]) => at <= 1.25).map(([, due]) => due.length)).toEqual([1, 1])
    const burst = late.filter(([at]) => at > 1.25 && at < 2.5)
    expect(burst.length).toBeGreaterThanOrEqual(7)
    expect(burst.every(([, due]) => due.length === targets.length)).toBe(true)
  })

  test('enough of them to be proof within the usual window, also with one target', () => {
    const usual = { interval: 1, timeout: 1, window: 2.5 }
    for (const some of [targets, targets.slice(0, 1)]) {
      let health = answer(initialHealth(0), 0)
      for (let now = 0; now <= 1; now += 0.25) health = dueProbes(health, now, usual, some).health
      for (let now = 1.25; now <= 2.5; now += 0.08) health = dueProbes(health, now, usual, some).health
      expect(tunnelState(health, 2.51, usual)).toBe('down')
    }
  })

  test('a burst at the start, and no haste for what has been down for long', () => {
    expect(probes(initialHealth(0), 0, 1).length).toBeGreaterThanOrEqual(6)
    expect(probes(answer(initialHealth(0), 0), 60, 5).length).toBe(5)
  })

  test('nothing without targets', () => {
    expect(dueProbes(initialHealth(0), 1, settings, []).targets).toEqual([])
  })
})

test('time in which the process did not run is no silence', () => {
  let milliseconds = 1000
  const clock = createRunningClock(() => milliseconds)
  const health = probedInVain(answer(initialHealth(clock()), clock()))
  milliseconds += 60_000
  expect(tunnelState(health, clock(), settings)).toBe('up')
  for (let step = 0; step < 30; step++) {
    milliseconds += 125
    clock()
  }
  expect(tunnelState(health, clock(), settings)).toBe('down')
})
