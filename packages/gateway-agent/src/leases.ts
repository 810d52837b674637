/**
 * Ports that the provider lends, over the life of the tunnel. They are asked for while it carries traffic, and all of them
 * again when it comes back, gets another endpoint or another address: behind it may be a server that knows nothing of them.
 */
import type { Component } from '@vpn-gateway/runtime'
import type { Lease } from './lease.ts'
import { createLeaseServer, type LeaseServerOptions, type LeaseWish } from './lease-server.ts'

/** A leased port as it stands. */
export interface LeasedPort extends LeaseWish {
  /** Port at the exit; absent while none is held. */
  externalPort?: number
  /** Ports at the exit that were held before, while their time is not over. */
  formerPorts: readonly number[]
  /** Unix seconds at which the port is lost unless it is renewed. */
  expiresAt?: number
  /** The exit's address as the server says it. */
  externalAddress?: string
  /** Why the last request got nothing. */
  problem?: string
}

/** What leases are kept with. */
export interface LeasesOptions extends Pick<LeaseServerOptions, 'onChange' | 'onResult' | 'log' | 'port'> {
  wishes: readonly LeaseWish[]
  /** The port that an earlier process was granted, and until which Unix second. */
  held: (wish: LeaseWish) => { externalPort: number; expiresAt: number } | undefined
  /** The tunnel's address, which requests come from. */
  localAddress: () => string
  /** Whether the tunnel carries traffic. */
  up: () => boolean
  /** `address:port` of the peers' endpoints; the order matters. */
  endpoints: () => Iterable<string>
}

/** The component that keeps the leases, and what it holds. */
export interface Leases extends Component {
  /** In the order of the wishes. */
  current(): LeasedPort[]
}

/** Milliseconds between two looks at what is due, and at the tunnel. */
const tick = 250

/** Makes the leases; nothing is asked for before they are started and the tunnel is up. */
export function createLeases(options: LeasesOptions): Leases {
  const { wishes } = options
  const now = () => performance.now() / 1000
  /** From the process' clock, which nobody sets, to Unix seconds. */
  const offset = () => Date.now() / 1000 - now()
  const held: LeaseServerOptions['held'] = (wish) => {
    const port = options.held(wish)
    return port === undefined ? undefined : { ...port, expiresAt: port.expiresAt - offset() }
  }
  const servers = [...new Set(wishes.map(({ server }) => server))].map((server) =>
    createLeaseServer({ ...options, held, now, server, wishes: wishes.filter((wish) => wish.server === server) }),
  )
  /** The tunnel that the leases belong to; undefined while it is down. */
  let way: string | undefined
  /** The one that was up last: a port is one of its exit. */
  let last: string | undefined
  let round = new AbortController()
  const working = new Set<unknown>()
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const found = options.up() ? [options.localAddress(), ...options.endpoints()].join(' ') : undefined
    if (found !== way) {
      round.abort()
      round = new AbortController()
      working.clear()
      if (found !== undefined) {
        options.log.info({}, 'the tunnel carries traffic: asking for all leased ports')
        for (const server of servers) {
          if (last !== undefined && found !== last) server.leave()
          server.doubt()
        }
        last = found
      }
      way = found
    }
    for (const server of servers) {
      server.lapse()
      if (way === undefined || working.has(server)) continue
      working.add(server)
      const { signal } = round
      // Never rejects. One of an earlier round must not take the present one's mark away.
      void server.work(options.localAddress(), signal).finally(() => signal.aborted || working.delete(server))
    }
  }

  function portOf(wish: LeaseWish, lease: Lease, externalAddress: string | undefined): LeasedPort {
    const { mapping, former, problem } = lease
    return {
      ...wish,
      formerPorts: former.map(({ externalPort }) => externalPort),
      ...(mapping === undefined
        ? {}
        : { externalPort: mapping.externalPort, expiresAt: Math.round(mapping.expiresAt + offset()) }),
      ...(mapping === undefined || externalAddress === undefined ? {} : { externalAddress }),
      ...(problem === undefined ? {} : { problem }),
    }
  }

  return {
    name: 'leases',
    async start() {
      if (servers.length === 0) return
      look()
      timer = setInterval(look, tick)
    },
    // Nothing is given back: a process that starts again in this pod, or a pod in its place, asks for the same.
    async stop() {
      clearInterval(timer)
      round.abort()
    },
    current() {
      const ports = servers.flatMap((server) =>
        server.leases().map(({ wish, lease }) => portOf(wish, lease, server.externalAddress())),
      )
      return wishes.flatMap((wish) =>
        ports.filter(({ name, protocol }) => name === wish.name && protocol === wish.protocol),
      )
    },
  }
}
