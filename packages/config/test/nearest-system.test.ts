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
function damaged(path: Path, to: unknown, file = whole): unknown {
  const root = parse(file) as object
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

const contradictory: [from: string, to: string, contradiction: string, ...fields: string[]][] = [
  [
    'vxlan: { vni: 51 }',
    'vxlan: { vni: 50 }',
    'routerNetwork.vxlan.vni: 50 is gatewayNetwork.vxlan.vni too',
    'routerNetwork.vxlan.vni',
    'gatewayNetwork.vxlan.vni',
  ],
  [
    'vip: 192.168.50.240',
    'vip: 192.168.50.239',
    'gatewayNetwork.vip: 192.168.50.239 overlaps gatewayNetwork.clients',
    'gatewayNetwork.vip',
    'gatewayNetwork.clients',
  ],
  [
    'mtu: 1450',
    'mtu: 1460',
    'routerNetwork.mtu: 1460 is more than underlay.mtu 1500 less 50 bytes',
    'routerNetwork.mtu',
    'underlay.mtu',
  ],
  [
    '10.96.0.100',
    '8.8.8.8',
    'forwards[0].to.address: 8.8.8.8 is outside the intranet',
    'forwards[0].to.address',
    'intranet',
  ],
  [
    'name: seed',
    'name: web',
    'forwards[1].name: "web" is forwards[0].name too',
    'forwards[0].name',
    'forwards[1].name',
  ],
  [
    'clients: 192.168.50.1-192.168.50.9',
    'clients: 192.168.60.1-192.168.60.9',
    'router.stickiness[0].clients: 192.168.60.1-192.168.60.9 is outside gatewayNetwork.clients',
    'router.stickiness[0].clients',
    'gatewayNetwork.clients',
  ],
  [
    '{ 192.168.50.248: 50 }',
    '{ 192.168.50.1: 50 }',
    'gateway.weights["192.168.50.1"]: is no address of gatewayNetwork.gateways',
    'gateway.weights',
    'gatewayNetwork.gateways',
  ],
  [
    'subnet: 192.168.51.0/24',
    'subnet: 10.3.0.0/24',
    'routerNetwork.subnet: 10.3.0.0/24 overlaps intranet[0] 10.0.0.0/8',
    'routerNetwork.subnet',
    'intranet[0]',
  ],
]

const within = (inner: string, outer: string) => inner === outer || /^[.[]/.test(inner.replace(outer, ''))

test.each(contradictory)('%s as %s is said whatever else is wrong', (from, to, contradiction, ...fields) => {
  // A second network, so that one of them can be wrong.
  const file = whole.replace(from, to).replace('[10.0.0.0/8]', '[10.0.0.0/8, 172.16.0.0/12]')
  expect(file).toContain(to)
  expect(file).toContain('172.16')
  const others = pathsOf(parse(file)).filter(
    (path) => !fields.some((field) => within(field, text(path)) || within(text(path), field)),
  )
  expect(others.length).toBeGreaterThan(30)
  const said = others.map((path) => ({ path: text(path), problems: problemsOf(damaged(path, -7, file)) }))
  const told = ({ problems }: (typeof said)[number]) =>
    problems.length > 1 && problems.some((problem) => problem.startsWith(`f: ${contradiction}`))
  expect(said.filter((each) => !told(each))).toEqual([])
})

test('a key that is not known stands in no way where what it may mean is there', () => {
  const file = whole.replace('vni: 51', 'vni: 50, vmi: 51')
  expect(problemsOf(parse(file))).toEqual([
    'f: routerNetwork.vxlan.vmi: unknown key: expected vni?',
    expect.stringContaining('f: routerNetwork.vxlan.vni: 50 is gatewayNetwork.vxlan.vni too'),
  ])
})

test('a key that is given twice hides nothing, and its last value counts', () => {
  const file = whole.replace('vip: 192.168.50.240', 'vip: 192.168.50.240\n  vip: 192.168.50.239')
  expect(() => parseSystem(file, 'f')).toThrow(
    /^f: line \d+, column 3: Map keys must be unique\nf: gatewayNetwork\.vip: 192\.168\.50\.239 overlaps [^\n]*$/,
  )
})

test('what is missing because its key is misspelt contradicts nothing', () => {
  expect(problemsOf(parse(whole.replace('routerNetwork:', 'routerNetwrok:')))).toEqual([
    'f: routerNetwrok: unknown key: expected routerNetwork?',
  ])
})
