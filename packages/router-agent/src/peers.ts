/**
 * What the other routers say of themselves. They are asked on the gateway network, where their addresses are known, and,
 * when they do not answer there, on the router network, whose addresses they told before: so a router that lost one of
 * the two networks is still heard by the other.
 */
import { Agent } from 'node:http'
import { isIPv4 } from 'node:net'
import type { Component, Log } from '@vpn-gateway/runtime'
import { getText } from './http-get.ts'
import { routerPort, type Router } from './router.ts'
import type { VrrpState } from './vrrp.ts'

/** How a router stands, as it tells the others. */
export interface Standing {
  vrrp: VrrpState | null
  holdsVip: boolean
  /** Seconds since VRRP's last change of state; null before the first. */
  stateSeconds: number | null
  /**
   * Gateways that it reaches, 0 where none takes new flows. Draining ones count: routers hear of a drain at different times,
   * and are worth the same all the while.
   */
  liveGateways: number
  /** Established flows that its IPVS knows; UDP is not counted, as IPVS does not. Null where it does not say. */
  flows: number | null
  /** Whether its daemons run and replicate. */
  fit: boolean
  /** Whether it steps back by its own decision. */
  yields: boolean
}

/** Another router. */
export interface Peer extends Standing {
  /** On the gateway network. */
  address: string
  routerAddress: string
  heardOn: 'gateway network' | 'router network'
  /** Seconds since it told this router all flows, as the active one does; absent before. */
  toldSeconds?: number
  /** Milliseconds, by performance.now(). */
  heardAt: number
}

export interface Peers extends Component {
  /** Somebody asked this router how it stands: if that is a router, it is asked too. */
  noticed(address: string): void
  /** Those that answered within the last seconds, by address on the gateway network. */
  current(): ReadonlyMap<string, Peer>
}

export interface PeersOptions {
  router: Router
  /** Whether a router that was not heard yet must be there: then every address is asked in every round. */
  missing: () => boolean
  /** Called after each round of questions. */
  onRound: () => void
  log: Log
}

/** Milliseconds between two rounds, and before an address that was never heard of is asked again. */
const askEvery = 1500
const searchEvery = 20_000
const answerWithin = 800
/** Milliseconds that an answer holds. */
const holdsFor = 4500

/** Makes the component that asks; it changes nothing. */
export function createPeers({ router, missing, onRound, log }: PeersOptions): Peers {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 })
  const others = router.plan.routerAddresses.filter((address) => address !== router.address)
  const known = new Map<string, Peer>()
  const wanted = new Set<string>()
  let searchedAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let stopped = true

  async function ask(address: string): Promise<void> {
    const there = known.get(address)
    const near = () => question(agent, address, 'gateway network', router.address)
    const far = async () => there && question(agent, there.routerAddress, 'router network', router.address)
    // Both at once where the first has failed before: waiting for it would make each round twice as long.
    const heard =
      there?.heardOn === 'router network'
        ? await Promise.all([near(), far()]).then(([first, second]) => first ?? second)
        : ((await near()) ?? (await far()))
    if (heard === undefined || stopped) return
    if (there === undefined) log.info({ router: address }, 'another router is there')
    wanted.add(address)
    known.set(address, { ...heard, address, heardAt: performance.now() })
  }

  async function round(): Promise<void> {
    const search = missing() || performance.now() - searchedAt >= searchEvery
    if (search) searchedAt = performance.now()
    await Promise.all(others.filter((address) => search || wanted.has(address)).map(ask))
    if (stopped) return
    onRound()
    timer = setTimeout(() => void round(), askEvery)
  }

  return {
    name: 'peers',
    noticed(address) {
      if (others.includes(address)) wanted.add(address)
    },
    async start() {
      stopped = false
      void round()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      agent.destroy()
    },
    current() {
      const since = performance.now() - holdsFor
      return new Map([...known].filter(([, { heardAt }]) => heardAt >= since))
    },
  }
}

type Heard = Omit<Peer, 'address' | 'heardAt'>

/** Asks one router; undefined when it does not answer in time or says something else. */
async function question(agent: Agent, host: string, heardOn: Peer['heardOn'], own: string): Promise<Heard | undefined> {
  const text = await getText({ agent, host, port: routerPort, path: '/v1/vrrp', within: answerWithin })
  return text === undefined ? undefined : parseStanding(text, heardOn, own)
}

/** JSON's 1e999 is no number. */
function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** An address is asked next: what is none would be a name to resolve, or no host at all. */
function isAddress(value: unknown): value is string {
  return typeof value === 'string' && isIPv4(value)
}

const states: readonly unknown[] = ['MASTER', 'BACKUP', 'FAULT', 'STOP', null] satisfies (VrrpState | null)[]

/** Reads another router's /v1/vrrp for the router at `own`; undefined for what does not hold all that is needed. */
export function parseStanding(text: string, heardOn: Peer['heardOn'], own: string): Heard | undefined {
  try {
    const said = JSON.parse(text) as Partial<Record<keyof Heard | 'state' | 'told', unknown>>
    const { state, holdsVip, stateSeconds, liveGateways, flows, fit, yields, routerAddress, told } = said
    const sound =
      states.includes(state) &&
      typeof holdsVip === 'boolean' &&
      (stateSeconds === null || isSeconds(stateSeconds)) &&
      isCount(liveGateways) &&
      (flows === undefined || flows === null || isCount(flows)) &&
      typeof fit === 'boolean' &&
      isAddress(routerAddress)
    if (!sound) return undefined
    const vrrp = state as VrrpState | null
    const toldSeconds = (told as Record<string, unknown> | null | undefined)?.[own]
    return {
      vrrp,
      holdsVip,
      stateSeconds,
      liveGateways,
      flows: isCount(flows) ? flows : null,
      fit,
      yields: yields !== null,
      routerAddress,
      heardOn,
      ...(isSeconds(toldSeconds) ? { toldSeconds } : {}),
    }
  } catch {
    return undefined
  }
}
