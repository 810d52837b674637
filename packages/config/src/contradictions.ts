/**
 * Contradictions between the fields of a file that has wrong ones among them, so that everything is said at once: values that
 * are right stand in for the wrong ones, and whatever is said of those is left out. Pure.
 */
import type { z } from 'zod'
import { checkSystem, type Problem } from './check.ts'
import { knownKeys, pathText } from './schema-problems.ts'
import { systemSchema } from './schema.ts'
import { nearest } from './suggestion.ts'

type Issue = z.core.$ZodIssue

/** As wide as can be, so that the hints of others come from the values that are there. */
const widest = 65_535

/** One right value for each field that must be there, and the first item for every list. */
const standIn = {
  version: 1,
  intranet: ['10.0.0.0/8'],
  gatewayNetwork: {
    subnet: '198.18.0.0/24',
    clients: '198.18.0.1-198.18.0.239',
    vip: '198.18.0.240',
    routers: '198.18.0.241-198.18.0.247',
    gateways: '198.18.0.248-198.18.0.254',
    mtu: 576,
    bridge: 'stand-in-a',
    vxlan: { vni: 16_777_214 },
  },
  routerNetwork: { subnet: '198.18.1.0/24', mtu: 576, bridge: 'stand-in-b', vxlan: { vni: 16_777_215 } },
  underlay: { mtu: widest, peers: { dns: 'stand-in' } },
  tunnel: { mtu: widest },
  router: { stickiness: [{ clients: '198.18.0.1-198.18.0.1' }] },
  forwards: [{ name: 'stand-in', port: 1, lease: { protocol: 'nat-pmp' }, to: { address: '10.0.0.1' } }],
}

/** What more than one field is needed to judge, as far as it follows from those that the schema takes. */
export function contradictions(error: z.core.$ZodError, value: unknown): Problem[] {
  const mended = structuredClone(value)
  for (const issue of error.issues) mend(mended, issue)
  const parsed = systemSchema.safeParse(mended)
  if (!parsed.success) return []
  const unknown = error.issues.flatMap(unitsOf)
  return checkSystem(parsed.data).filter(
    ({ path, message }) => !unknown.some((unit) => path.startsWith(unit) || message.includes(unit)),
  )
}

function mend(root: unknown, issue: Issue): void {
  const parent = at(root, issue.code === 'unrecognized_keys' ? issue.path : issue.path.slice(0, -1))
  if (typeof parent !== 'object' || parent === null) return
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) Reflect.deleteProperty(parent, key)
    return
  }
  const key = issue.path.at(-1)
  if (key === undefined) return
  const right = at(standIn, issue.path)
  // What may be left out has a default.
  if (right === undefined) Reflect.deleteProperty(parent, key)
  else Reflect.set(parent, key, structuredClone(right))
}

/** Every item of a list is like the first. */
function at(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => {
    if (typeof value !== 'object' || value === null) return undefined
    const own = root === standIn && typeof key === 'number' ? 0 : key
    return Object.hasOwn(value, own) ? (value as Record<PropertyKey, unknown>)[own] : undefined
  }, root)
}

/** What is not known because of the issue; of a list's items each is judged as one, and the intranet as a whole. */
function unitsOf(issue: Issue): string[] {
  const { path } = issue
  const whole = (full: readonly PropertyKey[]) => {
    const index = full.findIndex((key) => typeof key === 'number')
    return pathText(index < 0 ? full : full.slice(0, full[0] === 'intranet' ? index : index + 1))
  }
  if (issue.code !== 'unrecognized_keys') return [whole(path)]
  // A key that is misspelt is missing where it belongs.
  return issue.keys.map((key) => whole([...path, nearest(key, knownKeys(path)) ?? key]))
}
