import { expect, test } from 'vitest'
import { renderTable, type Cost, type WayResult } from '../src/result.ts'

const cost = (lost: number, held = 0): Cost => ({ flows: 60, lost, innocent: 0, held })

test('one column a way, one row an event, and no figure where there is no second router', () => {
  const results: WayResult[] = [
    {
      way: 'vpn-gateway',
      spread: [20, 20, 20],
      dies: cost(20, 20),
      outAfterMs: 840,
      returns: cost(0),
      drains: cost(0),
      routerCut: cost(0),
    },
    { way: 'ecmp', spread: [28, 19, 13], dies: cost(23, 13), returns: cost(26), drains: cost(30) },
  ]
  expect(renderTable(results)).toBe(
    [
      '| of 60 flows | vpn-gateway (IPVS) | ECMP, hashed on layers 3 and 4 |',
      '| --- | --- | --- |',
      '| spread | 20 / 20 / 20 | 28 / 19 / 13 |',
      '| a gateway dies | 20 lost, 20 were its own | 23 lost, 13 were its own |',
      '| it is out of service after | 0.8 s | by hand |',
      '| it comes back | 0 lost | 26 lost |',
      '| a gateway drains | 0 lost | 30 lost |',
      '| the active router is cut off | 0 lost | — |',
    ].join('\n'),
  )
})
