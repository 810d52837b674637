/**
 * The real router-agent with as many gateways as there can be, each with a weight of its own. They are addresses of one
 * namespace, joined to the router's by a pair of links. The agent is the bundle: `pnpm build` comes first.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createRunner } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { healthAddress } from '../../packages/config/src/address-plan.ts'
import { createHttpProbes } from '../lab/src/pods/http.ts'
import { awaitCondition } from '../lab/src/wait.ts'

const [router, crowd] = ['rm-router', 'rm-gateways']
const gateways = Array.from({ length: 250 }, (_, index) => `192.168.49.${index + 1}`)
/** 1 to 65,535, and the default, which is not written down. */
const weightOf = (index: number) => (index === 249 ? 65_535 : index === 99 ? 100 : index + 1)
const host = createRunner()
const http = createHttpProbes()
const ip = (namespace: string, lines: readonly string[]) =>
  host.run({ argv: ['ip', '-n', namespace, '-batch', '-'], stdin: `${lines.join('\n')}\n` })

const system = `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.48.0/23
  clients: 192.168.48.1-192.168.48.239
  vip: 192.168.48.240
  routers: 192.168.48.241-192.168.48.247
  gateways: 192.168.49.1-192.168.49.250
  mtu: 1420
  bridge: vpn-gateway
  vxlan: { vni: 5001 }
routerNetwork: { subnet: 192.168.51.0/24, mtu: 1450, bridge: vpn-router, vxlan: { vni: 5002 } }
underlay: { mtu: 1500, peers: { multicast: 239.1.1.1 } }
# By default 1,250 checks a second, which take all of one slow processor: this is about how many there are, not how fast.
router: { healthCheck: { interval: 2, timeout: 2 } }
gateway:
  weights:
${gateways.flatMap((address, index) => (weightOf(index) === 100 ? [] : [`    ${address}: ${weightOf(index)}`])).join('\n')}
`

let directory = ''
let agent: ChildProcess
const log: string[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'router-many-'))
  await writeFile(join(directory, 'system.yaml'), system)
  for (const namespace of [router, crowd]) {
    await host.run({ argv: ['ip', 'netns', 'add', namespace] })
    await ip(namespace, ['link set lo up'])
  }
  const links = ['net1', 'net2']
  await ip(
    router,
    links.map((name) => `link add ${name} type veth peer name ${name} netns ${crowd}`),
  )
  for (const namespace of [router, crowd])
    await ip(
      namespace,
      links.map((name) => `link set ${name} up`),
    )
  await ip(router, ['address add 192.168.48.241/23 dev net1', 'address add 192.168.51.1/24 dev net2'])
  await ip(
    crowd,
    gateways.flatMap((each) => [`address add ${each}/23 dev net1`, `address add ${healthAddress(each)}/32 dev net1`]),
  )
  const program = fileURLToPath(new URL('../../dist/router-agent.mjs', import.meta.url))
  const options = ['--config', join(directory, 'system.yaml'), '--name', 'router-0', '--run-dir', directory]
  agent = spawn('ip', ['netns', 'exec', router, process.execPath, program, ...options], {
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  agent.stdout?.on('data', (text: Buffer) => log.push(text.toString()))
})

afterAll(async () => {
  http.stop()
  if (agent.exitCode === null) {
    const ended = new Promise((resolve) => agent.once('exit', resolve))
    agent.kill('SIGTERM')
    await ended
  }
  for (const namespace of [router, crowd]) await host.run({ argv: ['ip', 'netns', 'del', namespace] })
  await rm(directory, { recursive: true, force: true })
})

interface Shown {
  services: { realServers: { address: string; weight: number }[] }[]
  gateways: { address: string; inService: boolean }[]
}

/** Waits until exactly these are in service. */
const inService = (wanted: readonly string[]): Promise<Shown> =>
  awaitCondition(
    `${wanted.length} gateways to be in service`,
    async () => {
      const { body } = await http.request(router, { port: 9802, path: '/v1/ipvs', timeoutMs: 20_000 })
      const shown = JSON.parse(body) as Shown
      const served = shown.services[0]?.realServers.map(({ address }) => address) ?? []
      if (served.toSorted().join() !== wanted.toSorted().join()) throw new Error(`${served.length} are`)
      return shown
    },
    { timeoutMs: 200_000 },
  )

test('250 gateways are in service, each with its weight, and the kernel holds what it should', async () => {
  onTestFailed(() => console.log(log.slice(-60).join('')))
  const { services } = await inService(gateways)
  const weights = new Map(services[0]?.realServers.map(({ address, weight }) => [address, weight]))
  expect(gateways.map((address) => weights.get(address))).toEqual(gateways.map((_, index) => weightOf(index)))
  // A route that is too long would be refused, or not be shown again.
  await awaitCondition(
    'the router to be ready',
    async () => {
      const { status, body } = await http.request(router, { port: 9802, path: '/readyz', timeoutMs: 20_000 })
      if (status !== 200) throw new Error(body)
      return true
    },
    { timeoutMs: 90_000 },
  )
  const routes = await host.run({ argv: ['ip', '-n', router, 'route', 'show', 'table', '153'] })
  expect(routes.match(/nexthop via/g)?.length).toBe(64)
}, 300_000)

test('half of them die at once: those and no others are taken out, and taken in again when they return', async () => {
  onTestFailed(() => console.log(log.slice(-60).join('')))
  const [dying, staying] = [gateways.slice(0, 125), gateways.slice(125)]
  await ip(
    crowd,
    dying.map((each) => `address del ${healthAddress(each)}/32 dev net1`),
  )
  const { gateways: shown } = await inService(staying)
  // One that is not there is simply down.
  expect(shown.filter((each) => !each.inService).map(({ address }) => address)).toEqual(dying)
  await ip(
    crowd,
    dying.map((each) => `address add ${healthAddress(each)}/32 dev net1`),
  )
  await inService(gateways)
}, 420_000)
