import { isDeepStrictEqual } from 'node:util'
import type { Nexthop, Owner, Route, RouteSpec } from '@vpn-gateway/kernel'
import type { Step } from './step.ts'

/** What the kernel gives an IPv6 route without a metric (IP6_RT_PRIO_USER). */
const defaultMetric6 = 1024

/**
 * Routes. `replace` is keyed as the kernel keys it: family, table, destination and metric; `release` is what others left in
 * the way until the filters stand.
 */
export function planRoutes(
  desired: readonly RouteSpec[] | undefined,
  observed: readonly Route[],
  owner: Owner,
): { release: Step[]; replace: Step[]; del: Step[] } {
  if (desired === undefined) return { release: [], replace: [], del: [] }
  const own = observed.filter((route) => route.protocol === owner.protocol)
  const held = new Map(own.map((route) => [routeKey(route), route]))
  const wanted = new Set(desired.map(routeKey))
  const { untilFiltered: way } = owner
  return {
    release: observed
      .filter(
        ({ protocol, nexthops: [hop] }) =>
          way !== undefined && protocol !== owner.protocol && hop?.via === way.via && hop?.dev === way.dev,
      )
      .map((route) => ({ object: 'route', action: 'del', route })),
    replace: desired
      .filter((route) => !sameRoute(route, held.get(routeKey(route))))
      .map((route) => ({ object: 'route', action: 'replace', route, protocol: owner.protocol })),
    del: own
      .filter((route) => !wanted.has(routeKey(route)))
      .map((route) => ({ object: 'route', action: 'del', route })),
  }
}

function routeKey(route: RouteSpec): string {
  return `${route.family} ${route.table} ${route.dst} ${metricOf(route)}`
}

function metricOf(route: RouteSpec): number {
  return route.metric ?? (route.family === 6 ? defaultMetric6 : 0)
}

function sameRoute(wanted: RouteSpec, held: Route | undefined): boolean {
  if (held === undefined) return false
  return (
    wanted.type === held.type &&
    isDeepStrictEqual(normalNexthops(wanted.nexthops), normalNexthops(held.nexthops)) &&
    (wanted.source === undefined || wanted.source === held.source) &&
    wanted.mtu === held.mtu
  )
}

/** Order says nothing, and the weight of a single next hop neither. */
function normalNexthops(hops: readonly Nexthop[]): string[] {
  return hops.map((hop) => `${hop.dev} ${hop.via ?? ''} ${hops.length > 1 ? (hop.weight ?? 1) : 1}`).sort()
}
