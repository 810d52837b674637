/** A wrong value hides no contradiction between others, and none is said of a value that is not known. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseSystem, UserError } from '@vpn-gateway/config'
import { parse, stringify } from 'yaml'

const example = readFileSync(new URL('../../../deploy/vpn-gateway.yaml', import.meta.url), 'utf8')
const more = `
  - { name: seed, lease: { protocol: nat-pmp }, to: { address: 10.96.0.101, port: 6881 } }
gateway: { weights: { 192.168.50.248: 50 }, forwardsHook: 'http://10.96.0.50:8080/ports' }
`
const whole = example
  .trimEnd()
  .replace('scheduler: wlc', 'scheduler: wlc\n  stickiness: [{ clients: 192.168.50.1-192.168.50.9 }]')
  .concat(more)

type Path = (string | number)[]

/** Every value of the file, mappings and lists too. */
function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  const inner = Array.isArray(value)
    ? value.flatMap((item, index) => pathsOf(item, [...path, index]))
    : Object.entries(value).flatMap(([key, item]) => pathsOf(item, [...path, key]))
  return path.length === 0 ? inner : [path, ...inner]
}

function problemsOf(value: unknown): readonly string[] {
  try {
    parseSystem(stringify(value), 'f')
  } catch (error) {
    if (error instanceof UserError) return error.problems
    throw error
  }
  return []
}

/** The file with one value replaced, or taken out. */
function damaged(path: Path, to: unknown): unknown {
  const root = parse(whole) as object
  const parent = path.slice(0, -1).reduce<object>((value, key) => Reflect.get(value, key) as object, root)
  const key = path.at(-1) ?? ''
  if (to === undefined) Reflect.deleteProperty(parent, key)
  else Reflect.set(parent, key, to)
  return root
}

const paths = pathsOf(parse(whole))
const text = (path: Path) => path.join('.').replaceAll(/\.(\d+)/g, '[$1]')
const unit = (path: Path) => text(path.some((key) => typeof key === 'number') ? path.slice(0, 2) : path)

test('the file that is damaged below is right', () => {
  expect(problemsOf(parse(whole))).toEqual([])
  expect(paths.length).toBeGreaterThan(40)
})

test.each(paths.map((path) => ({ path, name: text(path) })))(
  '$name: nothing is said but what is wrong with it',
  ({ path }) => {
    for (const wrong of [{ no: 'such' }, '\u0000', -7, null]) {
      const said = problemsOf(damaged(path, wrong))
      // Whatever is wrong with an item of a list concerns the item; the tunnel's name is one of the paths too.
      const section = unit(path).split('.')[0] ?? ''
      expect(said.filter((problem) => !problem.startsWith(`f: ${section}`))).toEqual([])
      for (const problem of said) expect(problem).not.toMatch(/198\.18|stand-in|65535|1677721/)
    }
  },
)

test.each([
  ['vxlan: { vni: 51 }', 'vxlan: { vni: 50 }', 'routerNetwork.vxlan.vni: 50 is gatewayNetwork.vxlan.vni too'],
  ['vip: 192.168.50.240', 'vip: 192.168.50.239', 'gatewayNetwork.vip: 192.168.50.239 overlaps gatewayNetwork.clients'],
  ['mtu: 1450', 'mtu: 1460', 'routerNetwork.mtu: 1460 is more than underlay.mtu 1500 less 50 bytes'],
  ['10.96.0.100', '8.8.8.8', 'forwards[0].to.address: 8.8.8.8 is outside the intranet'],
])('%s as %s is named beside values that are wrong by themselves', (from, to, contradiction) => {
  const file = whole
    .replace(from, to)
    .replace('scheduler: wlc', 'scheduler: wlx')
    .replace('bridge: vpn-gateway', 'bridge: much-too-long-a-name')
    .replace('version: 1', 'version: 1\nnonsense: true')
  expect(file).toContain(to)
  const said = problemsOf(parse(file))
  expect(said).toHaveLength(4)
  expect(said.at(-1)).toContain(`f: ${contradiction}`)
})

test('what is missing because its key is misspelt contradicts nothing', () => {
  expect(problemsOf(parse(whole.replace('routerNetwork:', 'routerNetwrok:')))).toEqual([
    'f: routerNetwrok: unknown key: expected routerNetwork?',
  ])
})
