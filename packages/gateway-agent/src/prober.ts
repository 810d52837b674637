import type { Component } from '@vpn-gateway/runtime'
import { connect } from 'node:net'
import { createRunningClock } from './clock.ts'
import { afterProbe, dueProbes, initialHealth, tunnelState } from './health.ts'
import type { Health, HealthSettings, ProbeResult, TunnelState } from './health.ts'

/** What the prober works with. */
export interface ProberOptions {
  /** `targets` are `address:port`, reached by TCP. */
  probe: HealthSettings & { targets: readonly string[] }
  /** The tunnel's address, which the connections are bound to; a rule sends what comes from it into the tunnel. */
  localAddress: () => string
  log: { warn(fields: object, message: string): void }
  onResult?: (result: ProbeResult) => void
}

/** The component that probes, and what it knows. */
export interface Prober extends Component {
  state(): TunnelState
  health(): Health
  /** Seconds since the last answer; undefined before the first. */
  silence(): number | undefined
}

/** Milliseconds between two looks at what is due. */
const tick = 125

/** Probes the tunnel and keeps its state. */
export function createProber(options: ProberOptions): Prober {
  const { probe: settings, log } = options
  const clock = createRunningClock()
  let health = initialHealth(clock())
  let announced: TunnelState = 'starting'
  let timer: NodeJS.Timeout | undefined
  const stopping = new AbortController()

  const state = () => tunnelState(health, clock(), settings)

  function announce(): void {
    const now = state()
    if (now === announced) return
    announced = now
    log.warn({ failures: health.failures }, `tunnel ${now}`)
  }

  async function ask(target: string): Promise<void> {
    const outcome = await tcpProbe(target, options.localAddress(), settings.timeout, stopping.signal)
    if (stopping.signal.aborted) return
    const result: ProbeResult = { target, at: clock(), ...outcome }
    health = afterProbe(health, result)
    options.onResult?.(result)
    announce()
  }

  function look(): void {
    const due = dueProbes(health, clock(), settings, settings.targets)
    health = due.health
    for (const target of due.targets) void ask(target)
    announce()
  }

  return {
    name: 'prober',
    async start() {
      health = initialHealth(clock())
      look()
      timer = setInterval(look, tick)
    },
    async stop() {
      clearInterval(timer)
      stopping.abort()
    },
    state,
    health: () => health,
    silence: () => (health.lastAnswerAt === undefined ? undefined : clock() - health.lastAnswerAt),
  }
}

type Outcome = { latency: number } | { failure: string }

/** Opens a TCP connection and drops it with a reset, so that neither end keeps it in TIME_WAIT. Never rejects. */
function tcpProbe(target: string, localAddress: string, timeout: number, signal: AbortSignal): Promise<Outcome> {
  const colon = target.lastIndexOf(':')
  const started = performance.now()
  return new Promise((resolve) => {
    const socket = connect({ host: target.slice(0, colon), port: Number(target.slice(colon + 1)), localAddress })
    const end = (failure?: string) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      socket.resetAndDestroy()
      resolve(failure === undefined ? { latency: (performance.now() - started) / 1000 } : { failure })
    }
    const abort = () => end('stopped')
    const timer = setTimeout(() => end(`no answer within ${timeout} s`), timeout * 1000)
    signal.addEventListener('abort', abort, { once: true })
    socket.once('connect', () => end())
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  })
}
