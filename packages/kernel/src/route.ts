import type { Runner } from './command.ts'
import { readItems } from './json.ts'
import type { Family, Nexthop, Route } from './state.ts'

interface RawRoute {
  type: string
  dst: string
  dev?: string
  gateway?: string
  table?: string
  protocol: string
  metric?: number
  prefsrc?: string
  nexthops?: { gateway?: string; dev: string; weight?: number }[]
  metrics?: { mtu?: number }[]
}

const managedTypes = new Set(['unicast', 'local', 'unreachable', 'blackhole', 'prohibit'])
/** RT_TABLE_MAIN; iproute2 leaves it out when it lists that table alone. */
const mainTable = '254'

/** All routes of a family in all tables, from `ip -json route` (ip-route(8)); broadcast and multicast are left out. */
export async function listRoutes(runner: Runner, family: Family): Promise<Route[]> {
  const argv = ['ip', `-${family}`, '-N', '-details', '-json', 'route', 'show', 'table', 'all'] as const
  return parseRoutes(await runner.run({ argv }), family)
}

/** Parses what `ip -N -details -json route show table all` prints. */
export function parseRoutes(text: string, family: Family): Route[] {
  return readItems<RawRoute, Route>('ip route', text, (raw) => {
    const type = typeName(raw.type) as Route['type']
    if (!managedTypes.has(type)) return []
    const route: Route = {
      family,
      table: Number(raw.table ?? mainTable),
      type,
      dst: destination(raw.dst, family),
      nexthops: nexthopsOf(raw, type),
      protocol: Number(raw.protocol),
    }
    if (raw.metric !== undefined) route.metric = raw.metric
    if (raw.prefsrc !== undefined) route.source = raw.prefsrc
    const mtu = raw.metrics?.[0]?.mtu
    if (mtu !== undefined) route.mtu = mtu
    return [route]
  })
}

/** With -N some iproute2 versions print route types as numbers (rtnetlink(7), rtm_type). */
function typeName(type: string): string {
  const names: Record<string, string> = { 1: 'unicast', 2: 'local', 6: 'blackhole', 7: 'unreachable', 8: 'prohibit' }
  return names[type] ?? type
}

function destination(dst: string, family: Family): string {
  return dst === 'default' || dst.includes('/') ? dst : `${dst}/${family === 4 ? 32 : 128}`
}

function nexthopsOf(raw: RawRoute, type: Route['type']): Nexthop[] {
  // The kernel attaches IPv6 reject routes to lo; the device says nothing about them.
  if (type !== 'unicast' && type !== 'local') return []
  if (raw.nexthops !== undefined) {
    return raw.nexthops.map((hop) => ({
      ...(hop.gateway === undefined ? {} : { via: hop.gateway }),
      dev: hop.dev,
      weight: hop.weight ?? 1,
    }))
  }
  if (raw.dev === undefined) return []
  return [{ ...(raw.gateway === undefined ? {} : { via: raw.gateway }), dev: raw.dev }]
}
