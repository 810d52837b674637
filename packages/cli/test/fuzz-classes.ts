/** What the command line reads of a running system: the agents' answers, which go to a terminal. */
import fc from 'fast-check'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { damaged, jsonLike, textLike } from '../../../test/fuzz/src/inputs.ts'
import { mustBeLines } from '../../../test/fuzz/src/must.ts'
import { UserError } from '@vpn-gateway/config'
import { parseArguments } from '../src/arguments.ts'
import { parseAnswer, type AgentAnswer } from '../src/status/agents.ts'
import { statusScreen } from '../src/status/screen.ts'

const gateway = {
  agent: 'gateway-agent',
  name: 'gateway-0',
  state: 'ready',
  reasons: ['told to end'],
  tunnel: 'up',
  address: '192.168.50.248',
}
const tunnel = { exitAddress: '203.0.113.21', peers: [{ handshakeAgeSeconds: 34 }] }
const router = {
  agent: 'router-agent',
  name: 'router-0',
  state: 'ready',
  reasons: [],
  vrrp: { state: 'MASTER', holdsVip: true },
  ipvsSync: { sender: true, receiver: false },
  daemons: [{ name: 'conntrackd', state: 'running' }],
  systemFile: { used: false, problems: ['system.yaml: version: missing'] },
}
const server = { address: '192.168.50.248', weight: 100, activeConnections: 3, inactiveConnections: 1 }
const ipvs = { services: [{ protocol: 'FWM', fwmark: 1, realServers: [server] }] }
const vrrp = { vip: '192.168.50.240' }
const node = {
  agent: 'node-agent',
  name: 'node-1',
  state: 'ready',
  reasons: [],
  underlay: { device: 'eth0', address: '172.30.0.1', mtu: 1500 },
  networks: [{ bridge: { name: 'vpn-gateway', state: 'up' }, vxlan: { name: 'vx', state: 'down' }, ports: 3 }],
  peers: { source: 'dns', count: 4 },
  findings: [{ finding: 'peers', text: 'a word' }],
}
const json = (...values: readonly object[]) => jsonLike(values.map((value) => JSON.stringify(value)))

const commands = ['check', 'render', 'plan', 'status', 'completion', 'help', '--version']
const words = [
  '--agent',
  'http://a:1',
  '--timeout',
  '3',
  '--json',
  '--gateways',
  '3',
  '--output',
  'system.yaml',
  'bash',
]

export const classes: readonly FuzzClass[] = [
  fuzzClass({
    name: "agents' /v1 answers on the screen",
    inputs: fc.tuple(json(gateway), json(tunnel), json(router), json(ipvs), json(vrrp), json(node)),
    check([ofGateway, ofTunnel, ofRouter, ofIpvs, ofVrrp, ofNode]) {
      const told = [
        { kind: 'gateway', text: ofGateway, details: { tunnel: ofTunnel } },
        { kind: 'router', text: ofRouter, details: { ipvs: ofIpvs, vrrp: ofVrrp } },
        { kind: 'node', text: ofNode, details: {} },
      ] as const
      const answers = told.flatMap(({ kind, text, details }): AgentAnswer[] => {
        const status = understood(text)
        if (status === undefined) return []
        const others = Object.entries(details).map(([name, each]) => [name, understood(each)] as const)
        return [{ url: 'http://a:1', kind, status, details: Object.fromEntries(others) }]
      })
      for (const line of statusScreen(answers).split('\n')) {
        if (/[\p{Cc}\u2028\u2029]/u.test(line)) throw new Error('moves the cursor')
        if (line.length > 80) throw new Error(`a line has ${line.length} characters`)
      }
    },
  }),
  fuzzClass({
    name: 'arguments of the command line',
    inputs: fc.tuple(
      fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...commands) }, { weight: 1, arbitrary: damaged(commands) }),
      fc.array(fc.oneof(fc.constantFrom(...words), damaged(words), textLike(words, 1000)), { maxLength: 8 }),
    ),
    check([command, others]) {
      try {
        parseArguments([command, ...others])
      } catch (error) {
        if (!(error instanceof UserError)) throw error
      }
    },
  }),
]

function understood(text: string): Record<string, unknown> | undefined {
  try {
    return parseAnswer(text)
  } catch (error) {
    mustBeLines([(error as Error).message])
    return undefined
  }
}
