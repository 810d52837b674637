/** What each fault costs of many flows, with vpn-gateway and with what is usually done instead: `npm run compare`. */
import { compareWays } from '@vpn-gateway/compare/comparison'
import { titleOf, type Cost, type WayResult } from '@vpn-gateway/compare/result'
import type { Benchmark, Figure } from './benchmark.ts'

const events: readonly [key: 'dies' | 'returns' | 'drains' | 'routerCut', title: string][] = [
  ['dies', 'a gateway dies'],
  ['returns', 'it comes back'],
  ['drains', 'a gateway drains'],
  ['routerCut', 'the active router is cut off'],
]

export const survivalBenchmark: Benchmark = {
  title: 'Survival: flows that each fault costs',
  lab: true,
  mostFlows: 1000,
  async run(say, { flows }) {
    const results = await compareWays(flows?.[0] ?? 1000, say)
    return [
      ...results.map(spread),
      ...events.flatMap(([key, title]) => results.flatMap((way) => lost(way, key, title))),
    ]
  },
}

function spread({ way, spread: perGateway }: WayResult): Figure {
  const even = perGateway.reduce((sum, flows) => sum + flows, 0) / perGateway.length
  return {
    figure: `spread: ${titleOf(way)}`,
    value: Math.max(...perGateway) / even,
    unit: 'ratio',
    method: `flows of the gateway with the most over an even share; there were ${perGateway.join(', ')}`,
  }
}

function lost(result: WayResult, key: (typeof events)[number][0], title: string): Figure[] {
  const cost: Cost | undefined = result[key]
  if (cost === undefined) return []
  const ours = result.way === 'vpn-gateway'
  return [
    {
      figure: `${title}: lost with ${titleOf(result.way)}`,
      value: cost.lost,
      unit: 'count',
      method: `of ${cost.flows} TCP flows, ${cost.held} of them through that gateway: reset, or without an answer; ${cost.innocent} of the lost were not${ours ? '' : '; next hops are changed by hand, at once'}`,
      ...(ours ? { most: key === 'dies' ? cost.held : 0 } : {}),
    },
  ]
}
