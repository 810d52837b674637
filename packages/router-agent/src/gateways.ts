/**
 * What gateways say of themselves. Whether one is alive is keepalived's to find out; that it wants no new flows it says in
 * its readiness, and is granted by a weight of 0: flows that it has go on.
 */
import { writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import type { Component, Log } from '@vpn-gateway/runtime'
import { getText } from './http-get.ts'
import { gatewayPort, type Router } from './router.ts'

export type GatewayState = 'ready' | 'draining' | 'unready' | 'silent'

export interface Gateways extends Component {
  /** What the gateways in service said last, by address. */
  states(): ReadonlyMap<string, GatewayState>
}

export interface GatewaysOptions {
  router: Router
  /** Addresses of the gateways that are in service. */
  inService: () => readonly string[]
  log: Log
  onWeight: () => void
}

/** The greatest weight, below zero: keepalived makes 0 of any such sum, also when the weight changes while a gateway drains. */
const draining = -65_535

const askEvery = 2000
const answerWithin = 900

export function createGateways({ router, inService, log, onWeight }: GatewaysOptions): Gateways {
  const agent = new Agent({ keepAlive: true, maxSockets: 2, maxFreeSockets: 1 })
  const states = new Map<string, GatewayState>()
  const written = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined
  let stopped = true

  async function ask(address: string): Promise<void> {
    const said = await readState(agent, address)
    const before = states.get(address)
    states.set(address, said)
    if (said !== before && before !== undefined)
      log.info({ gateway: address, from: before, to: said }, 'gateway changed')
    // Silence is no wish: a gateway that does not answer is keepalived's to remove.
    if (said !== 'silent') await offset(address, said === 'draining' ? draining : 0)
  }

  async function offset(address: string, value: number): Promise<void> {
    if (written.get(address) === value) return
    await writeFile(router.paths.keepalived.trackFile(address), `${value}\n`)
    written.set(address, value)
    onWeight()
  }

  async function round(): Promise<void> {
    const addresses = inService()
    for (const address of states.keys()) if (!addresses.includes(address)) states.delete(address)
    const results = await Promise.allSettled(addresses.map(ask))
    for (const result of results) {
      if (result.status === 'rejected') log.warn({ error: String(result.reason) }, 'weighing a gateway failed')
    }
    if (!stopped) timer = setTimeout(() => void round(), askEvery)
  }

  return {
    name: 'gateways',
    async start() {
      stopped = false
      void round()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      agent.destroy()
    },
    states: () => states,
  }
}

/** Asks one gateway's /readyz, whose body says the state whatever the code. */
async function readState(agent: Agent, host: string): Promise<GatewayState> {
  const text = await getText({ agent, host, port: gatewayPort, path: '/readyz', within: answerWithin })
  return text === undefined ? 'silent' : parseState(text)
}

/** State in the answer of /readyz; an answer that says something else counts as none. */
export function parseState(text: string): GatewayState {
  try {
    const { state } = JSON.parse(text) as { state?: unknown }
    return state === 'ready' || state === 'draining' || state === 'unready' ? state : 'silent'
  } catch {
    return 'silent'
  }
}
