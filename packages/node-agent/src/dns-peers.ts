/** Peers by a name whose addresses are those of all nodes: the headless Service of the node agents. */
import type { Log } from '@vpn-gateway/runtime'
import { lookup as systemLookup } from 'node:dns/promises'
import { answered, membersOf, remembered } from './membership.ts'
import type { PeerSource } from './peers.ts'

/** Addresses of a host name; rejects with the resolver's error. */
export type Lookup = (host: string, family: 4 | 6) => Promise<string[]>

export interface DnsPeersOptions {
  host: string
  family: 4 | 6
  /** Peers that the kernel holds from an earlier process. */
  known: readonly string[]
  /** Called when the peers are others than before. */
  onChange: () => void
  log: Pick<Log, 'info' | 'warn'>
  /** getaddrinfo(3) unless said: it goes by /etc/hosts and by resolv.conf's search list, as cluster names need. */
  lookup?: Lookup
  /** Milliseconds until the next question, for a number of peers; `intervalFor` unless said. */
  interval?: (peers: number) => number
}

const lookupAll: Lookup = async (host, family) =>
  (await systemLookup(host, { all: true, family, order: 'verbatim' })).map(({ address }) => address)

/** Shortest and longest time between two questions, in milliseconds. */
const [shortest, longest] = [5000, 60_000]

/** Every node asks, and is answered with every node: the more there are, the less often, so that name servers have rest. */
export function intervalFor(peers: number): number {
  return Math.min(longest, Math.max(shortest, peers * 50))
}

/** Asks for the name's addresses over and over; whoever is no longer answered stays for `leaveAfter`. */
export function createDnsPeers(options: DnsPeersOptions): PeerSource {
  const { host, family, log, lookup = lookupAll, interval = intervalFor } = options
  let membership = remembered(options.known, Date.now())
  let answeredAt: number | undefined
  let problem: string | undefined
  let stopped = true
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  async function ask(): Promise<void> {
    const before = membersOf(membership)
    const first = answeredAt === undefined
    try {
      const answer = await lookup(host, family)
      if (answer.length === 0) throw new Error('no address')
      if (stopped) return
      membership = answered(membership, answer, Date.now())
      answeredAt = Date.now() / 1000
      if (problem !== undefined) log.info({ host }, 'peers are answered again')
      problem = undefined
    } catch (error) {
      if (stopped) return
      const reason = `resolving ${host}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`
      if (reason !== problem) log.warn({ host }, reason)
      problem = reason
      return
    }
    const now = membersOf(membership)
    if (!first && now.join() === before.join()) return
    log.info({ host, peers: membership.present.size, leaving: membership.leaving.size }, 'peers')
    options.onChange()
  }

  function schedule(): void {
    if (stopped) return
    // Agents that were started together must not ask together for ever.
    const wait = interval(membership.present.size) * (0.9 + Math.random() * 0.2)
    timer = setTimeout(() => void (running = ask().then(schedule)), wait)
  }

  return {
    name: 'peers',
    // Not waited for: a resolver that does not answer must not keep the links from being made.
    async start() {
      stopped = false
      running = ask().then(schedule)
    },
    // getaddrinfo(3) cannot be called off; it ends by itself.
    async stop(deadline) {
      stopped = true
      clearTimeout(timer)
      if (deadline.aborted) return
      await Promise.race([
        running,
        new Promise((resolve) => deadline.addEventListener('abort', resolve, { once: true })),
      ])
    },
    current: () => (answeredAt === undefined ? undefined : { addresses: membersOf(membership) }),
    status: () => ({
      source: 'dns',
      ...(problem === undefined ? {} : { problem }),
      ...(answeredAt === undefined ? {} : { answeredAt: Math.floor(answeredAt) }),
      leaving: [...membership.leaving.keys()].sort(),
    }),
  }
}
