/**
 * The system that a file with wrong values comes nearest to, so that everything is said at once: values that are right stand in
 * for the wrong ones, and whatever would be said of those is left out. Pure.
 */
import type { z } from 'zod'
import { knownKeys, pathText } from './schema-problems.ts'
import { systemSchema, type System } from './schema.ts'
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

/** A system with right values in place of wrong ones, and what can be said of it. */
export interface NearestSystem {
  system: System
  /** Whether a line about it, as `PATH: MESSAGE`, follows from what the file says alone. */
  isKnown: (line: string) => boolean
}

/** Undefined where the value is too unlike a system file for that. */
export function nearestSystem(error: z.core.$ZodError, value: unknown): NearestSystem | undefined {
  const mended = structuredClone(value)
  for (const issue of error.issues) mend(mended, issue)
  const parsed = systemSchema.safeParse(mended)
  if (!parsed.success) return undefined
  const unknown = error.issues.flatMap((issue) => unknownFrom(issue, value))
  return { system: parsed.data, isKnown: (line) => !unknown.some((mention) => isIn(line, mention)) }
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

/** How lines name what is not known: the field, whether they are about it or compare with it. */
interface Mention {
  field: string
  /** What follows where something else is meant. */
  but: RegExp
}

function isIn(line: string, { field, but }: Mention): boolean {
  for (let begin = line.indexOf(field); begin >= 0; begin = line.indexOf(field, begin + 1)) {
    if (!/[\w.-]$/.test(line.slice(0, begin)) && !but.test(line.slice(begin + field.length))) return true
  }
  return false
}

function unknownFrom(issue: Issue, root: unknown): Mention[] {
  const { path } = issue
  if (issue.code !== 'unrecognized_keys') return mentionsOf(path)
  // A key that is misspelt is missing where it belongs.
  const parent = at(root, path) as object
  return issue.keys
    .map((key) => nearest(key, knownKeys(path)) ?? key)
    .filter((key) => !Object.hasOwn(parent, key))
    .flatMap((key) => mentionsOf([...path, key]))
}

function mentionsOf(path: readonly PropertyKey[]): Mention[] {
  const [section, index, ...field] = path
  const itself = { field: pathText(path), but: /^[\w-]/ }
  if (section === undefined || index === undefined) return [itself]
  // What is outside of the intranet is known only where all of it is.
  if (section === 'intranet') return [itself, { field: section, but: /^\[/ }]
  // Which ports a forward takes follows from most of its fields.
  if (section === 'forwards' && !/^(name|to\.address)$/.test(field.join('.')))
    return [itself, { field: pathText([section, index]), but: /^\.(name|to\.address)\b/ }]
  return [itself]
}
