/** A running system on one screen: by agents' answers, and by real HTTP servers that give them. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { VirtualService } from '@vpn-gateway/kernel'
import { expect, onTestFinished, test } from 'vitest'
import type { GatewayStatus } from '../../gateway-agent/src/status.ts'
import type { NodeStatus } from '../../node-agent/src/status.ts'
import { run } from '../src/run.ts'
import { statusScreen } from '../src/status/screen.ts'

/** What every agent says of itself. */
interface Common {
  agent: string
  name: string
  state: string
  reasons: string[]
}

/** What a router says, whose agent has no type for it: the test below looks for the words. */
interface RouterOverview {
  vrrp: { state: string; holdsVip: boolean }
  ipvsSync: { sender: boolean; receiver: boolean }
  daemons: { name: string; state: string }[]
  systemFile: { used: boolean; problems: string[] }
}

/** Some of it, at any depth. */
type Partly<T> = T extends readonly (infer Item)[]
  ? Partly<Item>[]
  : T extends object
    ? { [Key in keyof T]?: Partly<T[Key]> }
    : T

/** Part of an answer, in the agent's own words: one that it renames is an error of types here. */
const said = <Answer extends object>(answer: Partly<Answer>): object => answer

const answers = {
  gateway: {
    '/v1/status': said<Common & ReturnType<GatewayStatus['summary']>>({
      agent: 'gateway-agent',
      name: 'gateway-0',
      state: 'ready',
      reasons: [],
      tunnel: 'up',
      address: '192.168.50.248',
    }),
    '/v1/tunnel': said<Awaited<ReturnType<GatewayStatus['tunnel']>>>({
      exitAddress: '203.0.113.21',
      peers: [{ handshakeAgeSeconds: 34 }],
    }),
  },
  dead: {
    '/v1/status': said<Common & ReturnType<GatewayStatus['summary']>>({
      agent: 'gateway-agent',
      name: 'gateway-1',
      state: 'unready',
      reasons: [`the tunnel carries nothing: ${'a long reason '.repeat(9)}`],
      tunnel: 'down',
      address: '192.168.50.249',
    }),
    '/v1/tunnel': { peers: [] },
  },
  router: {
    '/v1/status': said<Common & RouterOverview>({
      agent: 'router-agent',
      name: 'router-0',
      state: 'ready',
      reasons: [],
      vrrp: { state: 'MASTER', holdsVip: true },
      ipvsSync: { sender: true, receiver: true },
      daemons: [
        { name: 'keepalived', state: 'running' },
        { name: 'conntrackd', state: 'waiting' },
      ],
    }),
    '/v1/vrrp': { vip: '192.168.50.240' },
    '/v1/ipvs': said<{ services: Partly<VirtualService>[] }>({
      services: [
        { realServers: [{ address: '192.168.50.248', weight: 100, activeConnections: 12, inactiveConnections: 3 }] },
        {
          realServers: [
            { address: '192.168.50.248', weight: 100, activeConnections: 1, inactiveConnections: 0 },
            { address: '192.168.50.250', weight: 50, activeConnections: 7, inactiveConnections: 0 },
          ],
        },
      ],
    }),
  },
  node: {
    '/v1/status': said<Common & Awaited<ReturnType<NodeStatus['summary']>>>({
      agent: 'node-agent',
      name: 'node-1',
      state: 'ready',
      reasons: [],
      underlay: { device: 'eth0', address: '172.30.0.1', mtu: 1500 },
      peers: { source: 'dns', count: 2 },
      networks: [
        { bridge: { name: 'vpn-gateway', state: 'up' }, vxlan: { name: 'vpn-gateway-x', state: 'up' }, ports: 3 },
        { bridge: { name: 'vpn-router', state: 'up' }, vxlan: { name: 'vpn-router-x', state: 'absent' }, ports: 1 },
      ],
    }),
  },
}

/** URL of a server with these answers. */
async function serve(routes: Record<string, object>): Promise<string> {
  const server = createServer((request, response) => {
    const answer = routes[request.url ?? '']
    response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const asked = async (...routes: Record<string, object>[]) =>
  (await Promise.all(routes.map(serve))).flatMap((url) => ['--agent', url])

test('tunnels, exits, flows, the virtual IP, sync, links and what is wrong, within 80 columns', async () => {
  const agents = await asked(answers.gateway, answers.dead, answers.router, answers.node)
  const { output, exitCode } = await run(['status', ...agents, '--agent', 'http://127.0.0.1:1'])
  expect(exitCode).toBe(1)
  expect(output.split('\n').filter((line) => line.length > 80)).toEqual([])
  const lines = output.split('\n').map((line) => line.replaceAll(/ {2,}/g, ' | '))
  expect(lines[0]).toBe('1 of 2 exits up · active: router-0 · 2 nodes')
  expect(lines).toEqual(
    expect.arrayContaining([
      'gateway-0 | up | 203.0.113.21 | 34 s ago | ready',
      'gateway-1 | down | - | - | unready',
      'router-0 | MASTER | 192.168.50.240 (here) | sends, receives | waiting | ready',
      'FLOWS BY | ADDRESS | WEIGHT | ACTIVE | ENDING',
      // Of two services the sum; out of service; of a gateway that was not asked.
      'gateway-0 | 192.168.50.248 | 100 | 13 | 3',
      'gateway-1 | 192.168.50.249 | none | 0 | 0',
      '- | 192.168.50.250 | 50 | 7 | 0',
      'node-1 | eth0 172.30.0.1 | 1500 | 3 of 4 up | 4 | 2 | ready',
      ' | node-1: link vpn-router-x: absent',
      expect.stringMatching(/^ \| gateway-1: the tunnel carries nothing: .*…$/),
      expect.stringMatching(/^ \| 127\.0\.0\.1:1: /),
    ]),
  )
})

test('names as long as clouds give them leave every column on the screen', async () => {
  const status = {
    ...answers.node['/v1/status'],
    name: 'ip-10-20-30-40.eu-central-1.compute.internal',
    underlay: { device: 'enp0s31f6', address: '192.168.100.100', mtu: 1500 },
  }
  const { output } = await run(['status', ...(await asked({ '/v1/status': status }))])
  const lines = output.split('\n')
  expect(lines[0]).toBe('0 of 0 exits up · 1 node')
  expect(lines.filter((line) => line.length > 80)).toEqual([])
  expect(lines).toContainEqual(
    expect.stringMatching(/^ip-10-20-30-.*… .*192\.168\.100\.100 .*1500 .*3 of 4 up .*4 .*2 .*ready$/),
  )
})

test('line breaks and escape sequences in what agents say do not reach the terminal', async () => {
  const status = {
    ...answers.gateway['/v1/status'],
    reasons: ['first\nsecond \u001b[2J\u009b1m third'],
    state: 'unready',
  }
  const { output } = await run(['status', ...(await asked({ '/v1/status': status }))])
  expect(output).toMatch(/^ {2}gateway-0: first second {1,2}\[2J 1m third$/m)
})

test('answers of another shape are shown as far as they go', async () => {
  const odd = [null, 7, 'x', [], [null], {}, [[]], [{}], { bridge: null }]
  const shapes = odd.map((value) =>
    Object.fromEntries(
      ['state', 'reasons', 'tunnel', 'address', 'vrrp', 'ipvsSync', 'daemons', 'networks', 'underlay', 'peers'].map(
        (key) => [key, value],
      ),
    ),
  )
  const routes = (['gateway', 'router', 'node'] as const).flatMap((kind) =>
    shapes.map((shape, index) => ({
      '/v1/status': { agent: `${kind}-agent`, ...shape, ...(kind === 'router' ? { vrrp: { holdsVip: true } } : {}) },
      ...Object.fromEntries(
        ['tunnel', 'ipvs', 'vrrp'].map((name) => [
          `/v1/${name}`,
          { services: odd[index], peers: odd[index], vip: odd[index] },
        ]),
      ),
    })),
  )
  const { output, exitCode } = await run(['status', ...(await asked(...routes))])
  expect(exitCode).toBe(1)
  expect(output).toMatch(/^0 of 9 exits up · active: 127.* · 9 nodes|^0 of 9 exits up · active: .*…$/m)
  expect(output).not.toMatch(/undefined|NaN|\[object/)
})

test('where all are ready nothing is wrong, and the exit code is 0', async () => {
  const { output, exitCode } = await run(['status', ...(await asked(answers.gateway, answers.router))])
  expect([exitCode, output.includes('PROBLEMS')]).toEqual([0, false])
})

test('a system file that was refused, and what a node does to the networks, are among the problems', async () => {
  const router = {
    ...answers.router['/v1/status'],
    ...said<RouterOverview>({
      systemFile: { used: false, problems: ['router.virtualRouterId: needs a new pod'] },
    }),
  }
  const node = {
    ...answers.node['/v1/status'],
    ...said<Awaited<ReturnType<NodeStatus['summary']>>>({
      findings: [
        { finding: 'link-manager', text: 'NetworkManager manages vpn-gateway' },
        { finding: 'checksum-offload', text: 'slower, nothing else' },
      ],
    }),
  }
  const { output } = await run(['status', ...(await asked({ '/v1/status': router }, { '/v1/status': node }))])
  expect(output).toContain('  router-0: system file not used: router.virtualRouterId: needs a new pod\n')
  expect(output).toContain('  node-1: NetworkManager manages vpn-gateway\n')
  expect(output).not.toContain('slower')
})

test('a router says what is read of it here by these names', async () => {
  const source = await readFile(new URL('../../router-agent/src/status.ts', import.meta.url), 'utf8')
  const words = [
    'vrrp: { state:',
    'holdsVip:',
    'ipvsSync: sync',
    'daemons:',
    'systemFile: {',
    'problems:',
    'services:',
    'realServers:',
    'vip:',
  ]
  expect(words.filter((word) => !source.includes(word))).toEqual([])
})

test('--json has every answer as it was given', async () => {
  const { output } = await run(['status', '--json', ...(await asked(answers.gateway))])
  expect(JSON.parse(output)).toEqual({
    problems: [],
    agents: [
      {
        url: expect.stringMatching(/^http:\/\/127/),
        kind: 'gateway',
        status: answers.gateway['/v1/status'],
        details: { tunnel: answers.gateway['/v1/tunnel'] },
      },
    ],
  })
})

test('one that takes too long is named, and does not keep the others waiting', async () => {
  const server = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => (server.closeAllConnections(), void server.close()))
  const slow = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { output } = await run(['status', '--timeout', '0.2', '--agent', slow, ...(await asked(answers.gateway))])
  expect(output).toContain(`${slow.slice(7)}: no answer in time`)
  expect(output).toContain('gateway-0')
})

test('an answer that is missing beside others is a problem, not a table that says none', async () => {
  const { '/v1/vrrp': _vrrp, ...others } = answers.router
  const { output } = await run(['status', ...(await asked(others))])
  expect(output).toContain('router-0: /v1/vrrp: HTTP 404')
})

test('an answer without end is given up, and one that is no object is named as such', async () => {
  let sent = 0
  const server = createServer((_, response) => {
    const part = Buffer.alloc(64 * 1024, ' ')
    const more = () => {
      while (!response.destroyed && response.write(part)) sent += part.length
    }
    response.on('drain', more)
    more()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => (server.closeAllConnections(), void server.close()))
  const endless = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { output } = await run(['status', '--agent', endless, ...(await asked({ '/v1/status': [] }))])
  expect(output).toContain(`${endless.slice(7)}: the answer is too long`)
  expect(output).toContain('the answer is no JSON object')
  expect(sent).toBeLessThan(64 * 1024 * 1024)
})

test('as many gateways as an answer can name exhaust neither stack nor patience', () => {
  const realServers = Array.from({ length: 150_000 }, (_, index) => ({ address: `10.${index}` }))
  const details = { ipvs: { services: [{ realServers }] } }
  const screen = statusScreen([{ url: 'http://a:1', kind: 'router', status: { vrrp: { holdsVip: true } }, details }])
  expect(screen.split('\n').length).toBeGreaterThan(150_000)
})
