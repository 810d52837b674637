/** One question through the tunnel, by TCP, HTTP or ICMP, bound to the tunnel. */
import type { ProbeTarget } from '@vpn-gateway/config'
import { CommandError, type Runner } from '@vpn-gateway/kernel'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tunnelLink } from './wireguard.ts'

/** How a probe ended; `latency` is in seconds. */
export type Outcome = { latency: number } | { failure: string }

/** What a probe works with. */
export interface ProbeOptions {
  /** The tunnel's address, which connections are bound to; a rule sends what comes from it into the tunnel. */
  localAddress: string
  /** Seconds. */
  timeout: number
  signal: AbortSignal
  runner: Runner
}

/** Asks a target; never rejects. */
export function probe(target: ProbeTarget, options: ProbeOptions): Promise<Outcome> {
  if (target.kind === 'tcp') return tcpProbe(target, options)
  return target.kind === 'http' ? httpProbe(target.url, options) : icmpProbe(target.address, options)
}

/** Opens a TCP connection and drops it with a reset, so that neither end keeps it in TIME_WAIT. */
function tcpProbe(
  { address, port }: { address: string; port: number },
  { localAddress, timeout, signal }: ProbeOptions,
): Promise<Outcome> {
  const started = performance.now()
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, localAddress })
    const end = (failure?: string) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      socket.resetAndDestroy()
      resolve(failure === undefined ? { latency: secondsSince(started) } : { failure })
    }
    const abort = () => end('stopped')
    const timer = setTimeout(afterReading, timeout * 1000, () => end(noAnswer(timeout)))
    signal.addEventListener('abort', abort, { once: true })
    socket.once('connect', () => end())
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  })
}

/** A status from 200 to 399 is an answer; what comes after the head is not read. */
async function httpProbe(url: string, { localAddress, timeout, signal }: ProbeOptions): Promise<Outcome> {
  const started = performance.now()
  const late = new AbortController()
  const timer = setTimeout(afterReading, timeout * 1000, () => late.abort())
  const request = get(url, { localAddress, agent: false, signal: AbortSignal.any([signal, late.signal]) })
  request.on('error', () => undefined)
  try {
    const [{ statusCode = 0 }] = (await once(request, 'response')) as [IncomingMessage]
    return statusCode >= 200 && statusCode < 400
      ? { latency: secondsSince(started) }
      : { failure: `status ${statusCode}` }
  } catch (error) {
    if (late.signal.aborted) return { failure: noAnswer(timeout) }
    return { failure: (error as NodeJS.ErrnoException).code ?? (error as Error).message }
  } finally {
    clearTimeout(timer)
    request.destroy()
  }
}

/**
 * By ping(8), as Node has no ICMP. Without CAP_NET_RAW the kernel lets it send echo requests where the group is within
 * net.ipv4.ping_group_range (icmp(7)). The time is ping's own, without that of starting a process.
 */
async function icmpProbe(address: string, { timeout, runner }: ProbeOptions): Promise<Outcome> {
  const argv = ['ping', '-n', '-q', '-c', '1', '-W', String(timeout), '-I', tunnelLink, address] as const
  try {
    const latency = parsePing(await runner.run({ argv: [...argv], timeoutMs: timeout * 1000 + 5000 }))
    return latency === undefined ? { failure: noAnswer(timeout) } : { latency }
  } catch (error) {
    // It ends with 1 and says nothing when no answer came.
    if (error instanceof CommandError && error.exitCode === 1 && error.stderr.trim() === '') {
      return { failure: noAnswer(timeout) }
    }
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

/** Seconds of the round trip in what `ping -q` printed; undefined where there was none. */
export function parsePing(text: string): number | undefined {
  const milliseconds = /^rtt min\/avg\/max\/mdev = (\d+(?:\.\d+)?)\//m.exec(text)?.[1]
  return milliseconds === undefined ? undefined : Number(milliseconds) / 1000
}

/** After a time without CPU a timer is due before the answer is read that has long been there: that comes first. */
function afterReading(act: () => void): void {
  setImmediate(act)
}

const noAnswer = (timeout: number) => `no answer within ${timeout} s`

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000
}
