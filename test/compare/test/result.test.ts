import { expect, test } from 'vitest'
import { renderTable, type Cost, type WayResult } from '../src/result.ts'

const cost = (lost: number, held = 0): Cost => ({ flows: 60, lost, innocent: Math.max(0, lost - held), held })

test('one column a way, one row an event, and no figure where there is no second router', () => {
  const results: WayResult[] = [
    {
      way: 'vpn-gateway',
      spread: [20, 20, 20],
      outAfterMs: 840,
      costs: {
        dies: cost(20, 20),
        returns: cost(0),
        silent: cost(20, 20),
        heard: cost(0),
        drains: cost(0),
        serves: cost(0),
        weighs: cost(0),
        'router cut off': cost(0),
        'router killed': cost(0),
        'router stopped': cost(0),
        'rolling restart': cost(1),
      },
    },
    {
      way: 'ecmp',
      spread: [28, 19, 13],
      costs: {
        dies: cost(23, 13),
        returns: cost(26),
        silent: cost(14, 13),
        heard: cost(9),
        drains: cost(30),
        serves: cost(8),
        weighs: cost(7),
      },
    },
  ]
  expect(renderTable(results)).toBe(
    [
      '| of 60 flows | vpn-gateway (IPVS) | ECMP, hashed on layers 3 and 4 |',
      '| --- | --- | --- |',
      '| spread | 20 / 20 / 20 | 28 / 19 / 13 |',
      '| a gateway dies | 20 lost, 20 of its own 20 | 23 lost, 13 of its own 13 |',
      '| it is out of service after | 0.8 s | by hand |',
      '| it comes back | 0 lost | 26 lost |',
      '| a tunnel carries nothing | 20 lost, 20 of its own 20 | 14 lost, 13 of its own 13 |',
      '| it carries again | 0 lost | 9 lost |',
      '| a gateway drains | 0 lost | 30 lost |',
      '| it serves again | 0 lost | 8 lost |',
      '| a gateway gets twice the weight | 0 lost | 7 lost |',
      '| the active router is cut off | 0 lost | — |',
      '| its processes are killed | 0 lost | — |',
      '| its processes are stopped | 0 lost | — |',
      '| both routers restart | 1 lost | — |',
    ].join('\n'),
  )
})
