/**
 * Draining: the gateway asks routers for no new flows and lets the ones it has go on.
 *
 * The end of the agent takes nothing out of the kernel. The filter must outlive the agent, or clients would be forwarded
 * by the pod network; the tunnel stays because a container that starts again in the same pod finds it in use, and in every
 * other case it goes with the pod's network namespace.
 */
import type { Runner } from '@vpn-gateway/kernel'
import { rangeMatcher } from './range.ts'
import { ingressMark } from './routing.ts'

export interface Drain {
  /** Whether the gateway is draining, for whatever reason. */
  active(): boolean
  /** Starts or ends draining at an operator's wish; it does not end the draining of a process that is terminating. */
  request(on: boolean): void
  /** Drains until every router has heard of it and no flow is left, or `deadline` aborts. */
  untilIdle: (deadline: AbortSignal) => Promise<void>
}

/** What draining works with. */
export interface DrainOptions {
  /** Flows that would break now. */
  flowsInUse: () => Promise<number>
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}

/** Milliseconds between two counts, and the share of time that counting may take. */
const countInterval = 1000
const countShare = 0.1

/**
 * Milliseconds until every router gives this gateway no new flow. They ask every two seconds and wait nearly one for an
 * answer: a gateway that ended before they did would take along what they sent it meanwhile.
 */
const heardAfter = 4000

/** Makes the drain of one agent, inactive. */
export function createDrain({ flowsInUse, log }: DrainOptions): Drain {
  let requested = false
  let terminating = false
  /** When the gateway last began to say so, by performance.now(). */
  let since = 0
  return {
    active: () => requested || terminating,
    request(on) {
      if (on !== requested)
        log.info({ draining: on || terminating }, on ? 'draining on request' : 'draining taken back')
      if (on && !requested && !terminating) since = performance.now()
      requested = on
    },
    async untilIdle(deadline) {
      if (!requested) since = performance.now()
      terminating = true
      let last: number | undefined
      while (!deadline.aborted) {
        const started = performance.now()
        const heard = started - since >= heardAfter
        const flows = await flowsInUse().catch((error: unknown) => {
          log.warn({ error: (error as Error).message }, 'counting flows failed')
          return undefined
        })
        if (flows === 0 && heard) return
        if (flows !== last) log.info({ flows }, 'draining')
        last = flows
        await pause(Math.max(countInterval, (performance.now() - started) / countShare), deadline)
      }
      if (last !== 0) log.warn({ flows: last }, 'drain deadline reached with flows left')
    },
  }
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

/**
 * Flows that are in use: established TCP, and UDP that went on in both directions (ASSURED), of the client range or of
 * connections that came in through the tunnel. Closed TCP lingers in the table for minutes and does not count.
 */
export async function countFlows(runner: Runner, clients: string): Promise<number> {
  const isClient = rangeMatcher(clients)
  const lists = await Promise.all([
    runner.run({ argv: ['conntrack', '-L', '-p', 'tcp', '--state', 'ESTABLISHED'], timeoutMs: 30_000 }),
    runner.run({ argv: ['conntrack', '-L', '-p', 'udp', '--status', 'ASSURED'], timeoutMs: 30_000 }),
  ])
  return lists.reduce((sum, text) => sum + parseFlowCount(text, isClient), 0)
}

/** Counts in what `conntrack -L` prints (conntrack(8)). */
export function parseFlowCount(text: string, isClient: (address: string) => boolean): number {
  return text.split('\n').filter((line) => {
    const source = /\bsrc=(\S+)/.exec(line)?.[1]
    const mark = Number(/\bmark=(\d+)/.exec(line)?.[1] ?? 0)
    return source !== undefined && (isClient(source) || (mark & ingressMark.mask) === ingressMark.mark)
  }).length
}
