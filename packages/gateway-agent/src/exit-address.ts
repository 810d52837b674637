/**
 * The public address that traffic leaves with, as a web service beyond the tunnel sees it. It belongs to one endpoint: it
 * is forgotten when the tunnel goes down or gets another, so that what is shown is never the exit of before.
 */
import type { Component } from '@vpn-gateway/runtime'
import { requestExitAddress } from './exit-request.ts'

/** An exit's address and when it was learnt. */
export interface ExitAddress {
  address: string
  /** Unix seconds of the latest answer. */
  at: number
}

/** What the address is followed by. */
export interface ExitAddressOptions {
  /** http or https; answers with a line that holds the asker's address. Absent: nothing is asked. */
  url: string | undefined
  /** The tunnel's address, which the connections are bound to; a rule sends what comes from it into the tunnel. */
  localAddress: () => string
  /** Whether the tunnel carries traffic. */
  up: () => boolean
  /** `address:port` of the peers' endpoints; the order matters. */
  endpoints: () => Iterable<string>
  log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }
  times?: Partial<typeof defaultTimes>
}

/** The component that asks, and what it knows. Nothing depends on its success. */
export interface ExitAddressWatch extends Component {
  /** Undefined while unknown: before the first answer by the endpoint in use, and while the tunnel is down. */
  current(): ExitAddress | undefined
}

/** Seconds. */
const defaultTimes = {
  /** Between two looks at the tunnel. */
  tick: 1,
  /** From another endpoint, as it is seen here, until the kernel surely has it. */
  settle: 5,
  /** Between two answers. */
  period: 300,
  /** After the first failure; doubles up to the period. */
  retry: 10,
}

/** Makes the watch; nothing is asked before it is started and the tunnel is up. */
export function createExitAddressWatch(options: ExitAddressOptions): ExitAddressWatch {
  const { url, log } = options
  const times = { ...defaultTimes, ...options.times }
  let known: ExitAddress | undefined
  /** Endpoints of the tunnel that is up; undefined while it is down. */
  let way: string | undefined
  let due = 0
  let wait = times.retry
  let failure: string | undefined
  let asking: AbortController | undefined
  let timer: NodeJS.Timeout | undefined
  const now = () => performance.now() / 1000
  const wayNow = () => (options.up() ? [...options.endpoints()].join(' ') : undefined)

  function look(from: string): void {
    const found = wayNow()
    if (found !== way) {
      asking?.abort()
      asking = undefined
      known = undefined
      wait = times.retry
      due = now() + (way === undefined ? 0 : times.settle)
      way = found
    }
    if (way === undefined || asking !== undefined || now() < due) return
    asking = new AbortController()
    void ask(from, asking)
  }

  async function ask(from: string, mine: AbortController): Promise<void> {
    const answer = await requestExitAddress(from, options.localAddress(), mine.signal).catch(reasonOf)
    if (mine.signal.aborted) return
    asking = undefined
    if (answer instanceof Error) failed(answer.message)
    else learnt(answer)
  }

  function learnt(address: string): void {
    if (address !== known?.address) log.info({ address }, 'exit address learnt')
    known = { address, at: Date.now() / 1000 }
    failure = undefined
    wait = times.retry
    due = now() + times.period
  }

  function failed(reason: string): void {
    if (reason !== failure) log.warn({ reason }, 'exit address not learnt')
    failure = reason
    due = now() + wait
    wait = Math.min(wait * 2, times.period)
  }

  return {
    name: 'exit-address',
    async start() {
      if (url === undefined) return
      look(url)
      timer = setInterval(look, times.tick * 1000, url)
    },
    async stop() {
      clearInterval(timer)
      asking?.abort()
    },
    current: () => (wayNow() === way ? known : undefined),
  }
}

/** The resolver's and the socket's errors are told by their code: their texts repeat the URL's host. */
function reasonOf(error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException
  return new Error(code ?? message)
}
