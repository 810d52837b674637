/** What each fault costs of many flows, with vpn-gateway and with what is usually done instead: `npm run compare`. */
import { compareWays } from '@vpn-gateway/compare/comparison'
import {
  eventNames,
  takesGateway,
  titleOf,
  titleOfEvent,
  type EventName,
  type WayResult,
} from '@vpn-gateway/compare/result'
import type { Benchmark, Figure } from './benchmark.ts'

export const survivalBenchmark: Benchmark = {
  title: 'Survival: flows that each fault costs',
  lab: true,
  mostFlows: 1000,
  async run(say, { flows }) {
    const results = await compareWays(flows?.[0] ?? 1000, say)
    return [...results.map(spread), ...eventNames.flatMap((event) => results.flatMap((way) => lost(way, event)))]
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

function lost({ way, costs }: WayResult, event: EventName): Figure[] {
  const cost = costs[event]
  if (cost === undefined) return []
  const ours = way === 'vpn-gateway'
  const title = titleOfEvent(event)
  return [
    {
      figure: `${title}: lost with ${titleOf(way)}`,
      value: cost.lost,
      unit: 'count',
      method: `of ${cost.flows} TCP flows, ${cost.held} of them through that gateway: reset, or without an answer; ${cost.innocent} of the lost were not${ours ? '' : '; next hops are changed by hand, at once'}`,
      ...(ours ? { most: takesGateway(event) ? cost.held : 0 } : {}),
    },
    ...(ours && takesGateway(event)
      ? [
          {
            figure: `${title}: lost of other gateways with ${titleOf(way)}`,
            value: cost.innocent,
            unit: 'count' as const,
            method: 'of these, the ones that were reset and did not go through that gateway',
            most: 0,
          },
        ]
      : []),
  ]
}
