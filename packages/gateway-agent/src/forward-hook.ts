/**
 * Tells the user's own service what the forwards are now. The call leaves by the pod network, never by the tunnel: the
 * socket is not bound to the tunnel's address, and the filter lets it to this one address and port.
 */
import type { Component } from '@vpn-gateway/runtime'
import { lookup as systemLookup } from 'node:dns/promises'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, isIPv4 } from 'node:net'

/** Where a hook is reached over TCP. */
export interface HookAddress {
  address: string
  port: number
}

/** What the hook is called with. */
export interface ForwardHookOptions {
  /** http or https. Absent: nothing is called. */
  url: string | undefined
  /** The body, and what of it is worth a call when it changes; undefined while there is nothing to tell. */
  message: () => { body: string; about: string } | undefined
  /** Whether the address may be called: not those of the gateway network. */
  allowed: (address: string) => boolean
  /** Resolves once the filter lets the call out to where `address()` says. */
  opened: () => Promise<unknown>
  onResult: (result: 'delivered' | 'failed' | 'given-up') => void
  log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }
  times?: Partial<typeof defaultTimes>
}

/** The component that calls, and where. */
export interface ForwardHook extends Component {
  address(): HookAddress | undefined
  /** Calls when what the message is about is another than was last delivered; the latest message goes before older ones. */
  update(): void
}

/** Seconds. */
const defaultTimes = {
  /** From a change to the call: leases come one by one, and the hook's owner may restart something each time. */
  settle: 1,
  /** For one call, from the resolver to the head of the answer. */
  call: 10,
  /** From the first failure to the next call; doubles up to the second. */
  retry: [1, 60] as readonly [number, number],
  /** From a change until it is given up. */
  giveUp: 900,
}

/** Where the hook of a URL is reached, as far as the URL itself says: a host name has no address before it is asked for. */
export function writtenAddress(url: string | undefined): Partial<HookAddress> {
  if (url === undefined) return {}
  const { hostname, port, protocol } = new URL(url)
  return {
    ...(isIPv4(hostname) ? { address: hostname } : {}),
    port: Number(port) || (protocol === 'https:' ? 443 : 80),
  }
}

/** Makes the hook; nothing is called before it is started. */
export function createForwardHook(options: ForwardHookOptions): ForwardHook {
  const { log } = options
  const times = { ...defaultTimes, ...options.times }
  const url = options.url === undefined ? undefined : new URL(options.url)
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? ''
  const { port = 0, ...written } = writtenAddress(options.url)
  let { address } = written
  let delivered: string | undefined
  let sending: { about: string; abort: AbortController } | undefined
  let stopped = true

  function update(): void {
    if (url === undefined || stopped) return
    const message = options.message()
    if (message === undefined || message.about === (sending?.about ?? delivered)) return
    sending?.abort.abort()
    const mine = { about: message.about, abort: new AbortController() }
    sending = mine
    void deliver(url, mine.abort.signal).finally(() => {
      if (sending === mine) sending = undefined
    })
  }

  async function deliver(to: URL, signal: AbortSignal): Promise<void> {
    const started = performance.now()
    let [wait] = times.retry
    await pause(times.settle * 1000, signal)
    if (signal.aborted) return
    for (let failure: string | undefined; ;) {
      // As it is at the time of the call: a lease was perhaps renewed while this waited.
      const message = options.message()
      // What was on its way out may have come back meanwhile, like a port after a reconnect.
      if (message === undefined || message.about === delivered) return
      const problem = await call(to, message.body, signal).then(() => undefined, reasonOf)
      if (signal.aborted) return
      if (problem === undefined) {
        delivered = message.about
        log.info({ host, port }, 'forwards delivered to the hook')
        return options.onResult('delivered')
      }
      options.onResult('failed')
      if (problem !== failure) log.warn({ host, port, reason: problem }, 'hook not called')
      failure = problem
      if ((performance.now() - started) / 1000 + wait > times.giveUp) {
        log.warn({ host, port, reason: problem }, 'hook given up until the forwards change')
        delivered = message.about
        return options.onResult('given-up')
      }
      await pause(wait * 1000, signal)
      if (signal.aborted) return
      wait = Math.min(wait * 2, times.retry[1])
    }
  }

  async function call(to: URL, body: string, signal: AbortSignal): Promise<void> {
    const deadline = AbortSignal.timeout(times.call * 1000)
    const ended = AbortSignal.any([signal, deadline])
    try {
      await Promise.race([post(to, body, ended), rejection(ended)])
    } catch (error) {
      if (deadline.aborted) throw new Error(`no answer within ${times.call} s`, { cause: error })
      throw error
    }
  }

  async function post(to: URL, body: string, signal: AbortSignal): Promise<void> {
    const found = await resolve()
    if (!options.allowed(found)) throw new Error(`${found} is on the gateway network`)
    address = found
    await options.opened()
    if (!signal.aborted) await send(to, found, body, signal)
  }

  /** The address in use while it is among the answers, so that the filter need not change. */
  async function resolve(): Promise<string> {
    if (isIP(host) !== 0) return host
    const answers = (await systemLookup(host, { all: true, family: 4 })).map((answer) => answer.address)
    if (address !== undefined && answers.includes(address)) return address
    const [first] = answers
    if (first === undefined) throw new Error('ENOTFOUND')
    return first
  }

  return {
    name: 'forward-hook',
    async start() {
      stopped = false
      update()
    },
    async stop() {
      stopped = true
      sending?.abort.abort()
    },
    address: () => (url === undefined || address === undefined ? undefined : { address, port }),
    update,
  }
}

/** Sends the body to the address; rejects unless the answer is a 2xx. Redirects are failures: they lead elsewhere. */
function send(to: URL, address: string, body: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = (to.protocol === 'https:' ? requestHttps : requestHttp)(to, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      agent: false,
      signal,
      // The address that the filter lets out, whatever the resolver says a moment later.
      lookup: (_host, { all }, done) => {
        if (all === true) done(null, [{ address, family: isIP(address) }])
        else done(null, address, isIP(address))
      },
    })
    request.on('error', reject)
    request.on('response', ({ statusCode = 0 }) => {
      request.destroy()
      if (statusCode >= 200 && statusCode < 300) resolve()
      else reject(new Error(`status ${statusCode}, expected 200 to 299`))
    })
    request.end(body)
  })
}

/** The resolver's and the socket's errors are told by their code: their texts repeat the URL's host. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(new Error('aborted'))
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })
}
