import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UserError } from '@vpn-gateway/config'
import { faultNames, gateways, goTogether, kindOf, mayLose, type Fault } from '../src/chaos/catalog.ts'
import { deeds } from '../src/chaos/deeds.ts'
import { drawRounds } from '../src/chaos/plan.ts'
import { parseTrace, renderTrace } from '../src/chaos/trace.ts'

const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 })

test('the same seed chooses the same faults, and a longer run begins with those of a shorter one', () => {
  fc.assert(
    fc.property(seeds, fc.nat(60), fc.nat(60), (seed, some, more) => {
      expect(drawRounds(seed, some + more).slice(0, some)).toEqual(drawRounds(seed, some))
    }),
  )
  expect(drawRounds(1, 10)).not.toEqual(drawRounds(2, 10))
})

test('every fault comes once before any comes again', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const firsts = drawRounds(seed, 2 * faultNames.length).map(([first]) => first?.fault)
      for (const half of [firsts.slice(0, faultNames.length), firsts.slice(faultNames.length)]) {
        expect(new Set(half)).toEqual(new Set(faultNames))
      }
    }),
  )
})

test('one or two at a time, each as its kind says; two overlap and can happen at once', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      for (const round of drawRounds(seed, 60)) {
        expect([1, 2]).toContain(round.length)
        for (const { fault, on, detail, forMs } of round) {
          const { targets, detail: values, lasts } = kindOf(fault)
          expect(targets).toContain(on)
          expect(values?.of ?? [undefined]).toContain(detail)
          expect(forMs).toBeGreaterThanOrEqual(lasts[0] * 1000)
          expect(forMs).toBeLessThanOrEqual(lasts[1] * 1000)
        }
        const [first, second] = round
        if (first === undefined || second === undefined) continue
        expect(goTogether(first, second)).toBe(true)
        expect(second.afterMs).toBeLessThanOrEqual(first.forMs)
      }
    }),
    { numRuns: 20 },
  )
})

test('a hundred rounds have pairs, and leave a gateway that nothing is done to, but where all are meant', () => {
  const rounds = drawRounds(1, 100)
  expect(rounds.filter((round) => round.length === 2).length).toBeGreaterThan(10)
  for (const round of rounds) {
    if (round.some(({ fault }) => kindOf(fault).cost === 'all')) continue
    expect(mayLose(round).size).toBeLessThan(gateways.length)
  }
})

test('every fault of the list can be done', () => {
  expect(new Set(Object.keys(deeds))).toEqual(new Set(faultNames))
})

test('flows may be lost on the gateways that a fault is done to, for a reason that is told', () => {
  const fault = (name: Fault['fault'], on: string): Fault => ({ fault: name, on, afterMs: 0, forMs: 0 })
  expect([...mayLose([fault('gateway-killed', 'gateway-1'), fault('router-cut', 'active')])]).toEqual([
    ['gateway-1', 'its pod died'],
  ])
  expect([...mayLose([fault('all-gateways-cut', 'all')]).keys()]).toEqual(gateways)
  expect(mayLose([fault('gateway-drained', 'gateway-0')]).size).toBe(0)
  for (const name of faultNames) expect(kindOf(name).cost === 'none' || kindOf(name).because !== undefined).toBe(true)
})

test('what cannot happen at once', () => {
  const fault = (name: Fault['fault'], on: string): Fault => ({ fault: name, on, afterMs: 0, forMs: 0 })
  expect(goTogether(fault('router-cut', 'active'), fault('daemon-killed', 'standby'))).toBe(false)
  expect(goTogether(fault('gateway-cut', 'gateway-1'), fault('endpoint-silent', 'gateway-1'))).toBe(false)
  expect(goTogether(fault('node-cut', 'node-1'), fault('agent-killed', 'node-2'))).toBe(false)
  expect(goTogether(fault('router-cut', 'active'), fault('gateway-killed', 'gateway-1'))).toBe(true)
  // Both write the system file back as it was.
  expect(goTogether(fault('port-lease-changed', 'gateway-0'), fault('system-file-changed', 'gateway-1'))).toBe(false)
  // Its agent would start with forwards that it keeps when they are gone.
  expect(goTogether(fault('agent-restarted', 'gateway-1'), fault('port-lease-changed', 'gateway-0'))).toBe(false)
  expect(goTogether(fault('agent-restarted', 'node-1'), fault('port-lease-changed', 'gateway-0'))).toBe(true)
  expect(goTogether(fault('conntrack-full', 'all'), fault('router-cut', 'active'))).toBe(false)
})

test('a trace is read as it was written', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 1, max: 60 }), (seed, count) => {
      const rounds = drawRounds(seed, count)
      expect(parseTrace(renderTrace(rounds), 'trace.json')).toEqual(rounds)
    }),
  )
})

const round = (change: object) => [
  [{ fault: 'gateway-loss', on: 'gateway-1', detail: 10, afterMs: 0, forMs: 10, ...change }],
]

/** What a trace is refused for, without the words that each line begins with. */
function problemsOf(text: string): string[] {
  try {
    parseTrace(text, 't.json')
    return []
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return error.problems.map((problem) => problem.replace(/^--replay: t\.json: /, ''))
  }
}

test.each([
  ['no trace', ['no JSON: expected a list of rounds, as a failed run prints it']],
  ['[]', ['expected a list that is not empty']],
  ['[[], 1]', ['[0]: expected a list that is not empty', '[1]: expected a list that is not empty']],
  ['[["router-cut"]]', ['[0][0]: expected a fault']],
  [JSON.stringify(round({ on: 'gateway-3' })), ['[0][0].on: "gateway-3": expected gateway-0, gateway-1 or gateway-2']],
  [JSON.stringify(round({ detail: 11 })), ['[0][0].detail: 11: expected percent of 2, 10 or 30']],
  [JSON.stringify(round({ fault: 'gateway-killed' })), ['[0][0].detail: gateway-killed takes none']],
  [
    JSON.stringify(round({ forMs: -1, since: 2 })),
    ['[0][0].since: unknown', '[0][0].forMs: -1: expected milliseconds, 0 to 600000'],
  ],
  [
    JSON.stringify([[...(round({})[0] ?? []), ...(round({ fault: 'gateway-cut', detail: undefined })[0] ?? [])]]),
    ['[0]: gateway-loss on gateway-1 and gateway-cut on gateway-1 cannot happen at once'],
  ],
])('%s is no trace', (text, expected) => {
  expect(problemsOf(text)).toEqual(expected)
})

test('an unknown fault is answered with those that there are', () => {
  expect(problemsOf(JSON.stringify(round({ fault: 'flood' })))).toEqual([
    expect.stringMatching(/^\[0\]\[0\]\.fault: "flood": expected router-cut, .* or all-gateways-cut$/),
  ])
})
