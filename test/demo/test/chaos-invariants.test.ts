import { expect, test } from 'vitest'
import type { Footprint, HostFootprint } from '@vpn-gateway/lab'
import { growth } from '../src/chaos/growth.ts'
import { addFindings, invariantNames, noFindings, unexcused } from '../src/chaos/invariants.ts'

const report = {
  flows: 6,
  alive: 4,
  lost: 3,
  resets: [
    { flow: 0, exit: '203.0.113.22', error: 'ECONNRESET', afterMs: 900 },
    { flow: 1, exit: '203.0.113.21', error: 'ECONNRESET', afterMs: 1200 },
    { flow: 2, exit: '203.0.113.21', error: 'ECONNRESET', afterMs: 1300 },
  ],
  perExit: { '203.0.113.21': 2, '203.0.113.22+203.0.113.23': 1, '203.0.113.21+203.0.113.23': 1 },
  longestSilenceMs: 0,
  stalled: 0,
  answers: 10,
}

test('flows of a gateway that died are excused, and those that left it', () => {
  expect(unexcused(report, new Set(['203.0.113.22']))).toEqual([
    '2 through 203.0.113.21 ended: ECONNRESET',
    '1 changed their exit: 203.0.113.21+203.0.113.23',
  ])
  expect(unexcused(report, new Set(['203.0.113.21', '203.0.113.22']))).toEqual([])
})

test('a flow that is silent for good is never excused', () => {
  expect(unexcused({ ...report, resets: [], perExit: {}, stalled: 2 }, new Set(['203.0.113.22']))).toEqual([
    '2 are silent still',
  ])
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
  const agent = { processes: 1, descriptors: 46, memoryMiB: 150 }
  const busy = { ...router, programs: { ...router.programs, 'router-agent': agent } }
  expect(growth(before, { ...before, hosts: { ...before.hosts, 'router-0': busy } })).toEqual([])
})

test('each kind of growth is named', () => {
  const grown: Footprint = {
    namespaces: 17,
    kernelMiB: 200,
    hosts: {
      'router-0': { ...router, routes: 13, links: 5 },
      'router-1': {
        ...router,
        policies: 7,
        programs: {
          'router-agent': { processes: 2, descriptors: 47, memoryMiB: 153 },
          keepalived: { processes: 3, descriptors: 40, memoryMiB: 30 },
        },
      },
    },
  }
  expect(growth(before, grown)).toEqual([
    'namespaces: 17, 16 before',
    'kernel memory in MiB: 200, 100 before',
    'rules of routers: 80, 81 before',
    'routes of routers: 25, 24 before',
    'policies of routers: 13, 12 before',
    'links of routers: 9, 8 before',
    'processes of router-agent: 3, 2 before',
    'descriptors of router-agent of router-1: 47, 30 before',
    'memory of router-agent of router-1 in MiB: 153, 80 before',
  ])
})
