import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mtuProblems, networkMtus } from '../src/mtu.ts'
import { systemWith } from './fixtures.ts'

/** Systems whose file is consistent in itself, on an underlay that is something else. */
const chain = fc
  .record({
    underlayMtu: fc.integer({ min: 1280, max: 9216 }),
    tunnelMtu: fc.integer({ min: 1280, max: 1420 }),
    real: fc.integer({ min: 1280, max: 9216 }),
  })
  .chain(({ underlayMtu, tunnelMtu, real }) =>
    fc.record({
      mtu: fc.integer({ min: 576, max: Math.min(underlayMtu - 50, tunnelMtu) }),
      routerMtu: fc.integer({ min: 576, max: underlayMtu - 50 }),
      underlayMtu: fc.constant(underlayMtu),
      tunnelMtu: fc.constant(tunnelMtu),
      real: fc.constant(real),
    }),
  )

describe('on an underlay of any MTU', () => {
  test('exactly the networks that do not fit are named, each with the value that does', () => {
    fc.assert(
      fc.property(chain, ({ real, ...parts }) => {
        const problems = mtuProblems(systemWith(parts), { device: 'eth0', mtu: real })
        expect(problems.some((line) => line.startsWith('gatewayNetwork.mtu: '))).toBe(parts.mtu + 50 > real)
        expect(problems.some((line) => line.startsWith('routerNetwork.mtu: '))).toBe(parts.routerMtu + 50 > real)
      }),
      { numRuns: 50 },
    )
  })

  test('the best values have no problem, and one byte more has one', () => {
    fc.assert(
      fc.property(chain, ({ real, ...parts }) => {
        const underlay = { device: 'eth0', mtu: real }
        const best = Object.fromEntries(
          networkMtus(systemWith(parts), underlay).map((item) => [item.network, item.best]),
        )
        const [gateway = 0, router = 0] = [best['gateway'], best['router']]
        const fits = { ...parts, underlayMtu: Math.max(real, router + 51), mtu: gateway, routerMtu: router }
        expect(mtuProblems(systemWith(fits), underlay)).toEqual([])
        expect(mtuProblems(systemWith({ ...fits, routerMtu: router + 1 }), underlay)).toHaveLength(1)
        expect(gateway).toBe(Math.min(real - 50, parts.tunnelMtu))
      }),
      { numRuns: 50 },
    )
  })
})

test('the line names field, device and value', () => {
  expect(mtuProblems(systemWith(), { device: 'bond0', mtu: 1480 })).toEqual([
    'routerNetwork.mtu: 1450 is more than the 1480 of bond0 on this node less 50 bytes of VXLAN: expected at most 1430',
  ])
})
