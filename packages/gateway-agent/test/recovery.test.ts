import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { atRest, decide, type Recovery, type RecoveryAction, type Situation } from '../src/recovery.ts'

const dead: Situation = { down: true, peerHeard: false, named: true, resolved: true, alternatives: 0 }
const step = 0.25

interface Done {
  at: number
  action: RecoveryAction
}

/** Actions within `seconds` from a recovery at rest, looked for every quarter of a second. */
function run(seconds: number, situation: (now: number) => Situation, chance: (now: number) => number = () => 0.5) {
  const done: Done[] = []
  let recovery: Recovery = atRest
  for (let now = 100; now < 100 + seconds; now += step) {
    const decided = decide(recovery, situation(now), now, chance(now))
    recovery = decided.recovery
    if (decided.action !== undefined) done.push({ at: now - 100, action: decided.action })
  }
  return done
}

const kinds = (done: readonly Done[]) => done.map(({ action }) => action.kind)

describe('one tunnel', () => {
  test('in order, at once, and then with doubling waits', () => {
    const done = run(45, () => dead)
    expect(done.map(({ at, action }) => [at, action.kind])).toEqual([
      [0, 'resolve'],
      [0.5, 'handshake'],
      [6.75, 'resolve'],
      [7.25, 'handshake'],
      [19.5, 'resolve'],
      [20, 'handshake'],
      [44.25, 'resolve'],
      [44.75, 'handshake'],
    ])
  })

  test('an address needs no resolver; a peer that is heard keeps its session', () => {
    expect(kinds(run(5, () => ({ ...dead, named: false })))).toEqual(['handshake'])
    expect(run(300, () => ({ ...dead, named: false, peerHeard: true }))).toEqual([])
  })

  test('up again, all is forgotten', () => {
    const done = run(40, (now) => ({ ...dead, down: now < 120 || now >= 130 }))
    expect(done.filter(({ at }) => at >= 20).map(({ at, action }) => [at, action.kind])).toEqual([
      [30, 'resolve'],
      [30.5, 'handshake'],
      [36.75, 'resolve'],
      [37.25, 'handshake'],
    ])
  })
})

test('several endpoints: each has its turn before any has its second', () => {
  const done = run(40, () => ({ ...dead, alternatives: 2 }))
  expect(kinds(done)).toEqual(['resolve', 'handshake', 'rotate', 'rotate', 'rotate', 'resolve', 'handshake', 'rotate'])
  expect(done[2]?.at).toBe(6.5)
})

test.each([
  ['no-handshake', {}],
  ['no-internet', { peerHeard: true }],
  ['unresolved', { resolved: false }],
])('an endpoint is given up for: %s', (reason, change) => {
  const rotation = run(20, () => ({ ...dead, alternatives: 1, ...change })).find(
    ({ action }) => action.kind === 'rotate',
  )
  expect(rotation?.action).toEqual({ kind: 'rotate', reason })
})

describe('whatever happens', () => {
  const situations = fc.array(
    fc.record({
      seconds: fc.integer({ min: 1, max: 120 }),
      chance: fc.double({ min: 0, max: 1, noNaN: true }),
      situation: fc.record({
        down: fc.boolean(),
        peerHeard: fc.boolean(),
        named: fc.boolean(),
        resolved: fc.boolean(),
        alternatives: fc.integer({ min: 0, max: 5 }),
      }),
    }),
    { minLength: 1, maxLength: 12 },
  )

  test('what works is left alone, no one is hurried, and nothing is done that cannot help', () => {
    fc.assert(
      fc.property(situations, (phases) => {
        const ends = phases.map((_, index) =>
          phases.slice(0, index + 1).reduce((sum, { seconds }) => sum + seconds, 100),
        )
        const phaseAt = (now: number) => phases[ends.findIndex((end) => now < end)] ?? phases[0]
        const total = (ends.at(-1) ?? 100) - 100
        const at = (now: number) => phaseAt(now)?.situation ?? dead
        const done = run(total, at, (now) => phaseAt(now)?.chance ?? 0)
        let rotatedAt = Number.NEGATIVE_INFINITY
        for (const { at: when, action } of done) {
          const situation = at(100 + when)
          expect(situation.down).toBe(true)
          const sensible = {
            resolve: situation.named,
            handshake: !situation.peerHeard && situation.resolved,
            rotate: situation.alternatives > 0,
          }
          expect(sensible[action.kind]).toBe(true)
          if (action.kind !== 'rotate') continue
          expect(when - rotatedAt).toBeGreaterThanOrEqual(4.5)
          rotatedAt = when
        }
      }),
    )
  })

  test('a tunnel that stays down is never given up, and all of its endpoints are tried soon', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 5 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1 }),
        (alternatives, chances) => {
          const chance = (now: number) => chances[Math.round(now / step) % chances.length] ?? 0
          const done = run(1800, () => ({ ...dead, alternatives }), chance)
          const soon = done.filter(({ at, action }) => action.kind === 'rotate' && at < 1 + (alternatives + 1) * 8)
          expect(soon.length).toBeGreaterThanOrEqual(alternatives)
          const times = [...done.map(({ at }) => at), 1800]
          times.forEach((at, index) => expect(at - (times[index - 1] ?? 0)).toBeLessThanOrEqual(76))
        },
      ),
    )
  })
})
