import { parseProbeTarget } from '@vpn-gateway/config'
import type { Runner } from '@vpn-gateway/kernel'
import type { Component } from '@vpn-gateway/runtime'
import { createRunningClock } from './clock.ts'
import {
  afterFull,
  afterProbe,
  afterReading,
  dueProbes,
  initialHealth,
  isHasty,
  tunnelState,
  untilLate,
} from './health.ts'
import type { Health, HealthSettings, ProbeResult, TunnelState } from './health.ts'
import { probe } from './probe.ts'

/** What the prober works with. */
export interface ProberOptions {
  /** `targets` as the system file names them. */
  probe: HealthSettings & { targets: readonly string[] }
  /** The tunnel's address. */
  localAddress: () => string
  /** Bytes that the tunnel's link has received; undefined while there is none. */
  receivedBytes: () => number | undefined
  /** Whether probes find no room among tracked connections; asked at each look while answers are missing. */
  isFull: () => boolean
  runner: Runner
  log: { warn(fields: object, message: string): void }
  onResult?: (result: ProbeResult) => void
  /** Told when the tunnel went up or down. */
  onState?: () => void
}

/** The component that probes, and what it knows. */
export interface Prober extends Component {
  state(): TunnelState
  health(): Health
  /** Seconds since the last answer; undefined before the first. */
  silence(): number | undefined
}

/** Milliseconds between two looks at what is due, at most, and while answers are missing. */
const tick = 250
const hastyTick = 75

/** Probes the tunnel and keeps its state. */
export function createProber(options: ProberOptions): Prober {
  const { probe: settings, log } = options
  const clock = createRunningClock()
  let health = initialHealth(clock())
  let announced: TunnelState = 'starting'
  /** Whether it was said that probes find no room; until the next answer. */
  let full = false
  let timer: NodeJS.Timeout | undefined
  const stopping = new AbortController()

  const state = () => tunnelState(health, clock(), settings)

  function announce(): void {
    const now = state()
    if (now === announced) return
    announced = now
    log.warn({ failures: health.failures }, `tunnel ${now}`)
    options.onState?.()
  }

  async function ask(name: string): Promise<void> {
    const target = parseProbeTarget(name)
    if (target === undefined) return
    const outcome = await probe(target, {
      localAddress: options.localAddress(),
      timeout: settings.timeout,
      signal: stopping.signal,
      runner: options.runner,
    })
    if (stopping.signal.aborted) return
    const result: ProbeResult = { target: name, at: clock(), ...outcome }
    health = afterProbe(health, result)
    if ('latency' in result) full = false
    options.onResult?.(result)
    announce()
  }

  function look(): void {
    const bytes = options.receivedBytes()
    if (bytes !== undefined) health = afterReading(health, clock(), bytes)
    if (untilLate(health, clock(), settings) === 0 && options.isFull()) {
      if (!full)
        log.warn(
          {},
          'probes find no room in the table of connections (nf_conntrack_max of the node): the tunnel is judged by its session',
        )
      full = true
      health = afterFull(health, clock(), settings)
    }
    const due = dueProbes(health, clock(), settings, settings.targets)
    health = due.health
    for (const target of due.targets) void ask(target)
    announce()
    if (!stopping.signal.aborted) timer = setTimeout(look, pause())
  }

  function pause(): number {
    const now = clock()
    if (isHasty(health, now, settings)) return hastyTick
    const late = untilLate(health, now, settings) * 1000
    return late > 0 ? Math.min(tick, Math.max(late, hastyTick)) : tick
  }

  return {
    name: 'prober',
    async start() {
      health = initialHealth(clock())
      look()
    },
    async stop() {
      stopping.abort()
      clearTimeout(timer)
    },
    state,
    health: () => health,
    silence: () => (health.lastAnswerAt === undefined ? undefined : clock() - health.lastAnswerAt),
  }
}
