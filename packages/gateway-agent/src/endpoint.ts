/**
 * Addresses of the peers' endpoints. A host name is asked for until it has an address, and then only when recovery wants
 * it: names with several addresses answer in changing order, and a tunnel that works must not be moved by that.
 */
import type { WireguardDevice } from '@vpn-gateway/kernel'
import type { Component } from '@vpn-gateway/runtime'
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { TunnelPeer } from './tunnel-file.ts'

/** Addresses of a host name, in the resolver's order; rejects with the resolver's error. */
type Lookup = (host: string) => Promise<string[]>

/** What the endpoints are followed by. */
export interface EndpointsOptions {
  peers: () => readonly TunnelPeer[]
  /** Called when an address was found that there was none of, or came too late for who asked. */
  onChange: () => void
  log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }
  /** `address:port` by public key, as the kernel holds them from an earlier process. */
  known?: ReadonlyMap<string, string>
  lookup?: Lookup
}

/** The endpoints' addresses, as a component that follows them. */
export interface Endpoints extends Component {
  /** `address:port` by public key; `[address]:port` for IPv6. */
  current(): ReadonlyMap<string, string>
  /** Asks for the host names again, for a few seconds at most; resolves with whether an address is another than before. */
  resolve(): Promise<boolean>
  /** Other addresses of the host names in use, all of which take their turn. */
  alternatives(): number
  /** Puts an address to use that was not tried yet; false when all were, which then count as not tried. */
  advance(): boolean
  /** Lets all addresses count as not tried: the one in use works. */
  forgetTried(): void
  /** Endpoints without an address, one line each. */
  problems(): string[]
}

/** Milliseconds after which recovery goes on without the resolver's answer. */
const resolverPatience = 3000

/** Milliseconds between two looks at whether a name has to be asked for. */
const tick = 1000
/** Milliseconds before the same name is asked for again; doubles up to the second. */
const backoff = [2000, 30_000] as const

const lookupAll: Lookup = async (host) => (await systemLookup(host, { all: true })).map(({ address }) => address)

/** Follows the endpoints of the tunnel's peers; keeps the last good address where a name cannot be resolved. */
export function createEndpoints(options: EndpointsOptions): Endpoints {
  const lookup = options.lookup ?? lookupAll
  /** Address in use by host name: providers give one key to many servers, and a server another key. */
  const addresses = new Map<string, string>()
  /** Addresses that a name was last said to have, best first. */
  const answered = new Map<string, string[]>()
  const tried = new Set<string>()
  const failures = new Map<string, string>()
  for (const { publicKey, endpoint } of options.peers()) {
    const held = options.known?.get(publicKey)
    if (endpoint !== undefined && held !== undefined) addresses.set(endpoint.host, hostOf(held))
  }
  let wait: number = backoff[0]
  let next = 0
  let stopped = true
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  function current(): Map<string, string> {
    const result = new Map<string, string>()
    for (const { publicKey, endpoint } of options.peers()) {
      if (endpoint === undefined) continue
      const address = isIP(endpoint.host) !== 0 ? endpoint.host : addresses.get(endpoint.host)
      if (address !== undefined) result.set(publicKey, joinEndpoint(address, endpoint.port))
    }
    return result
  }

  async function refresh(): Promise<boolean> {
    const before = [...current()].join(' ')
    for (const host of named()) await lookUp(host)
    return [...current()].join(' ') !== before
  }

  /** Host names in use, each once. */
  function named(): Set<string> {
    return new Set(
      options
        .peers()
        .flatMap(({ endpoint }) => (endpoint === undefined || isIP(endpoint.host) !== 0 ? [] : [endpoint.host])),
    )
  }

  /** IPv6 only where there is nothing else: most pods have no way to it, and every try costs seconds. */
  function candidates(host: string): string[] {
    const all = answered.get(host) ?? []
    const four = all.filter((address) => isIP(address) === 4)
    return four.length > 0 ? four : all
  }

  async function lookUp(host: string): Promise<void> {
    const held = addresses.get(host)
    try {
      const answers = await lookup(host)
      const chosen = choose(answers, held)
      if (chosen === undefined) throw new Error('no address')
      if (chosen !== held) options.log.info({ host, address: chosen }, 'endpoint resolved')
      answered.set(host, answers)
      addresses.set(host, chosen)
      failures.delete(host)
    } catch (error) {
      const reason = `resolving endpoint ${host}: ${reasonOf(error)}`
      if (failures.get(host) !== reason) options.log.warn({ host }, reason)
      failures.set(host, reason)
    }
  }

  function unresolved(): boolean {
    return options.peers().some(({ publicKey, endpoint }) => endpoint !== undefined && !current().has(publicKey))
  }

  async function look(): Promise<void> {
    const now = performance.now()
    if (!unresolved()) {
      wait = backoff[0]
      return
    }
    if (now < next) return
    next = now + wait
    wait = Math.min(wait * 2, backoff[1])
    if ((await refresh()) && !stopped) options.onChange()
  }

  function schedule(): void {
    if (stopped) return
    timer = setTimeout(() => {
      running = look().then(schedule)
    }, tick)
  }

  return {
    name: 'endpoints',
    // Not waited for: a resolver that does not answer must not keep the rest from starting.
    async start() {
      stopped = false
      running = look().then(schedule)
    },
    // A resolver may take longer to give up than the agent has.
    async stop(deadline) {
      stopped = true
      clearTimeout(timer)
      await Promise.race([running, aborted(deadline)])
    },
    current,
    async resolve() {
      const asked = refresh()
      const late = delay(resolverPatience, undefined, { ref: false })
      const changed = await Promise.race([asked, late])
      if (changed !== undefined) return changed
      // A first name server that is dead costs five seconds, and then the second one answers: too late for this call only.
      void asked.then((found) => found && !stopped && options.onChange())
      return false
    },
    alternatives: () => Math.max(0, ...[...named()].map((host) => candidates(host).length - 1)),
    advance() {
      let moved = false
      for (const host of named()) {
        const held = addresses.get(host)
        if (held !== undefined) tried.add(held)
        const untried = candidates(host).find((address) => !tried.has(address))
        if (untried === undefined) continue
        addresses.set(host, untried)
        moved = true
      }
      if (!moved) tried.clear()
      return moved
    },
    forgetTried: () => tried.clear(),
    problems: () =>
      [...named()]
        .filter((host) => !addresses.has(host))
        .map((host) => failures.get(host) ?? `resolving endpoint ${host}`),
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** The address in use while it is among the answers; else the first of IPv4, then of IPv6. */
export function choose(answers: readonly string[], held: string | undefined): string | undefined {
  if (held !== undefined && answers.includes(held)) return held
  return answers.find((address) => isIP(address) === 4) ?? answers[0]
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  return code ?? (error as Error).message
}

/** The endpoints that a device has from an earlier process, by public key. */
export function knownEndpoints(device: WireguardDevice | undefined): Map<string, string> {
  const known = new Map<string, string>()
  for (const { publicKey, endpoint } of device?.peers ?? []) if (endpoint !== undefined) known.set(publicKey, endpoint)
  return known
}

/** As the kernel prints it: brackets around IPv6. */
export function joinEndpoint(address: string, port: number): string {
  return isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`
}

function hostOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '')
}
