import { expect, test } from 'vitest'
import { rangeTest } from '../src/range.ts'
import { fixedChanges } from '../src/system-watch.ts'
import { exampleRouter } from './router.ts'

test('a running router takes over all but what says who it is', () => {
  const { system } = exampleRouter()
  expect(fixedChanges(system, { ...system, intranet: ['172.16.0.0/12'] })).toEqual([])
  expect(fixedChanges(system, { ...system, router: { ...system.router, scheduler: 'mh' } })).toEqual([])
  expect(
    fixedChanges(system, {
      ...system,
      gatewayNetwork: { ...system.gatewayNetwork, vip: '192.168.50.1' },
      router: { ...system.router, virtualRouterId: 7 },
    }),
  ).toEqual(['gatewayNetwork.vip', 'router.virtualRouterId'])
})

test('a range holds its ends and nothing beyond', () => {
  const holds = rangeTest('192.168.50.9 - 192.168.50.12')
  expect(['192.168.50.8', '192.168.50.9', '192.168.50.12', '192.168.50.13'].map(holds)).toEqual([
    false,
    true,
    true,
    false,
  ])
})
