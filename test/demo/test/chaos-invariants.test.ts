import { expect, test } from 'vitest'
import type { Footprint, HostFootprint } from '@vpn-gateway/lab'
import { growth } from '../src/chaos/growth.ts'
import { addFindings, invariantNames, noFindings, unexcused, type Excuse } from '../src/chaos/invariants.ts'
import { rising } from '../src/chaos/trend.ts'

const [first, second, third] = ['203.0.113.21', '203.0.113.22', '203.0.113.23'] as const
const lost = (exit: string, afterMs: number) => ({ flow: 0, exit, error: 'ECONNRESET', afterMs })
const moved = (from: string, to: string, afterMs: number) => ({ flow: 1, from, to, afterMs })

const report = {
  flows: 6,
  alive: 3,
  lost: 3,
  resets: [lost(second, 900), lost(first, 1200), lost(first, 1310)],
  moves: [moved(second, third, 1000), moved(first, third, 1100)],
  perExit: { [first]: 1, [`${second}+${third}`]: 1, [`${first}+${third}`]: 1 },
  longestSilenceMs: 0,
  stalled: 0,
  answers: 10,
}

const excuse = (exit: string, fromMs = 0, untilMs = 10_000): Excuse => ({ exits: new Set([exit]), fromMs, untilMs })

test('flows of a gateway that died are excused, and those that left it', () => {
  expect(unexcused(report, [excuse(second)])).toEqual([
    `2 through ${first} ended: ECONNRESET, after 1.2 to 1.3 s`,
    `1 went from ${first} to ${third}, after 1.1 s`,
  ])
  expect(unexcused(report, [excuse(first), excuse(second)])).toEqual([])
})

test('a loss before the fault, or long after all has settled, is not excused', () => {
  const early = { ...report, resets: [lost(second, 999), lost(second, 1000), lost(second, 5000)], moves: [] }
  expect(unexcused(early, [excuse(second, 1000, 5000)])).toEqual([`1 through ${second} ended: ECONNRESET, after 1.0 s`])
  const late = { ...report, resets: [lost(second, 5001)], moves: [moved(second, third, 5002)] }
  expect(unexcused(late, [excuse(second, 1000, 5000)])).toHaveLength(2)
})

test('a flow that leaves a gateway which works is not excused by where it goes', () => {
  const astray = { ...report, resets: [], moves: [moved(third, second, 1000)] }
  expect(unexcused(astray, [excuse(second)])).toEqual([`1 went from ${third} to ${second}, after 1.0 s`])
})

test('a flow that moved and was lost then is judged by where it was last', () => {
  const both = { ...report, resets: [lost(`${second}+${third}`, 2000)], moves: [moved(second, third, 1000)] }
  expect(unexcused(both, [excuse(second)])).toEqual([`1 through ${second}+${third} ended: ECONNRESET, after 2.0 s`])
  expect(unexcused(both, [excuse(second), excuse(third)])).toEqual([])
})

test('a flow that is silent for good is never excused', () => {
  expect(unexcused({ ...report, resets: [], moves: [], stalled: 2 }, [excuse(second)])).toEqual(['2 are silent still'])
})

test('findings are kept by invariant, with the round that they were made after', () => {
  const broken: Parameters<typeof addFindings>[0] = []
  addFindings(broken, 'round 1', noFindings())
  addFindings(broken, 'round 2', { ...noFindings(), plan: ['router-0: ~ route'] })
  expect(broken.map(({ looks }) => looks)).toEqual(invariantNames.map(() => 2))
  expect(broken.flatMap((each) => each.broken)).toEqual(['round 2: router-0: ~ route'])
})

const router: HostFootprint = {
  rules: 40,
  routes: 12,
  policies: 6,
  links: 4,
  programs: {
    'router-agent': { processes: 1, descriptors: 30, memoryMiB: 80 },
    keepalived: { processes: 3, descriptors: 40, memoryMiB: 30 },
  },
}
const before: Footprint = {
  namespaces: 16,
  kernelMiB: 100,
  hosts: { 'router-0': router, 'router-1': { ...router, rules: 41 } },
}

test('routers that changed their parts have not grown, and a little more memory is none', () => {
  expect(growth(before, before)).toEqual([])
  const changed = { ...before, hosts: { 'router-0': { ...router, rules: 41 }, 'router-1': router } }
  expect(growth(before, changed)).toEqual([])
  const agent = { processes: 1, descriptors: 38, memoryMiB: 112 }
  const busy = { ...router, programs: { ...router.programs, 'router-agent': agent } }
  expect(growth(before, { ...before, hosts: { ...before.hosts, 'router-0': busy } })).toEqual([])
})

test('each kind of growth is named', () => {
  const grown: Footprint = {
    namespaces: 17,
    kernelMiB: 117,
    hosts: {
      'router-0': { ...router, routes: 13, links: 5 },
      'router-1': {
        ...router,
        policies: 7,
        programs: {
          'router-agent': { processes: 2, descriptors: 39, memoryMiB: 113 },
          keepalived: { processes: 3, descriptors: 45, memoryMiB: 35 },
        },
      },
    },
  }
  expect(growth(before, grown)).toEqual([
    'namespaces: 17, 16 before',
    'kernel memory in MiB: 117, 100 before',
    'rules of routers: 80, 81 before',
    'routes of routers: 25, 24 before',
    'policies of routers: 13, 12 before',
    'links of routers: 9, 8 before',
    'processes of router-agent: 3, 2 before',
    'descriptors of router-agent of router-1: 39, 30 before',
    'memory of router-agent of router-1 in MiB: 113, 80 before',
    'descriptors of keepalived of router-1: 45, 40 before',
    'memory of keepalived of router-1 in MiB: 35, 30 before',
  ])
})

/** Looks at a system whose router-1 has so many descriptors of its agent, one look each. */
const looksAt = (descriptors: readonly number[]): Footprint[] =>
  descriptors.map((each) => {
    const programs = { 'router-agent': { processes: 1, descriptors: each, memoryMiB: 80 } }
    return { ...before, hosts: { 'router-0': router, 'router-1': { ...router, programs } } }
  })

test('one descriptor more after each round is a leak long before any bound', () => {
  expect(rising(looksAt([30, 31, 32, 33, 34]))).toEqual([])
  expect(rising(looksAt([30, 31, 32, 33, 34, 35]))).toEqual([
    'number of descriptors of router-agent of router-1 only rises: 30, 31, 32, 33, 34, 35',
  ])
  // Also where not every round leaves one behind.
  expect(rising(looksAt([30, 31, 31, 32, 32, 33, 33, 34, 34, 34, 35]))).toHaveLength(1)
})

test('what falls again was under way, and what stays is no leak', () => {
  expect(rising(looksAt([30, 31, 32, 31, 32, 33, 34, 35]))).toEqual([])
  expect(rising(looksAt([30, 42, 42, 42, 42, 42, 42]))).toEqual([])
})

test('the kernel’s memory rises by steps that are more than its breath', () => {
  const looks = (all: readonly number[]): Footprint[] => all.map((kernelMiB) => ({ ...before, kernelMiB }))
  expect(rising(looks([100, 101, 102, 101, 103, 102, 104, 103]))).toEqual([])
  expect(rising(looks([100, 102, 104, 106, 108, 110]))).toEqual([
    'kernel memory in MiB only rises: 100, 102, 104, 106, 108, 110',
  ])
})
