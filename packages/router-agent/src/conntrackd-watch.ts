/**
 * Looks after conntrackd. It has been seen to stay up while it does nothing any more: it leaves questions unanswered, or its
 * cache or what it puts into the kernel stands still while flows begin. A start anew heals that and loses no flow: the
 * kernel's table stays, the daemon reads it and asks the other routers for the rest.
 */
import { readIpvsStats } from '@vpn-gateway/kernel'
import type { Component, Log } from '@vpn-gateway/runtime'
import type { ConntrackdStats, ObjectCounters } from './conntrackd-stats.ts'

/** One look at conntrackd. */
export interface ConntrackdLook {
  /** Undefined when it did not answer. */
  stats: ConntrackdStats | undefined
  /** Flows that IPVS has begun on this router so far; conntrackd must have seen each of them. */
  flowsBegun: number
  /** Whether it worked since the look before: one that has a large table to tell of answers late. */
  busy: boolean
}

export interface ConntrackdWatch extends Component {
  /** What it answered at the last look; undefined when it did not. */
  latest(): ConntrackdStats | undefined
  /** What is wrong with it, one line each. */
  problems(): string[]
  /** Looks at once, for whoever has just told it something. */
  look(): Promise<void>
}

/** Milliseconds between two looks. */
const lookEvery = 5000
/** Steps from look to look that must all show the fault. */
const steps = 3
/** The same for silence of a daemon that works all the while. */
const busySteps = 12
/** Processor time between two looks, in ticks of 10 ms, that a daemon which only waits does not use. */
const busyTicks = 25

/** What is wrong by the last looks, the oldest first; undefined for nothing, or for too few looks. Pure. */
export function stuckReason(looks: readonly ConntrackdLook[]): string | undefined {
  const silent = looks.slice(looks.findLastIndex(({ stats }) => stats !== undefined) + 1)
  const patience = silent.slice(-steps).every(({ busy }) => busy) ? busySteps : steps
  if (silent.length >= patience) return 'conntrackd does not answer'
  const recent = looks.slice(-(steps + 1))
  if (recent.length <= steps) return undefined
  const pairs = recent.slice(1).map((now, index) => ({ before: recent[index], now }))
  const always = (shows: (before: ConntrackdStats, now: ConntrackdStats, flows: number) => boolean) =>
    pairs.every(({ before, now }) => {
      if (before?.stats === undefined || now.stats === undefined) return false
      return shows(before.stats, now.stats, now.flowsBegun - before.flowsBegun)
    })
  if (always((before, now, flows) => flows > 0 && events(now.cache) === events(before.cache)))
    return "conntrackd's cache stands still while flows begin"
  if (
    always(
      (before, now) =>
        now.receivedPackets > before.receivedPackets &&
        now.lostMessages > before.lostMessages &&
        events(now.injected) === events(before.injected),
    )
  )
    return 'conntrackd loses what other routers say and puts nothing into the kernel'
  return undefined
}

function events({ created, updated, destroyed }: ObjectCounters): number {
  return [created, updated, destroyed].reduce((sum, { total, failed }) => sum + total + failed, 0)
}

export interface ConntrackdWatchOptions {
  ask: () => Promise<ConntrackdStats | undefined>
  /** Processor time that the daemon has used so far, in ticks; undefined while it does not run. */
  ticks: () => Promise<number | undefined>
  /** Whether the daemon runs: what does not is its supervisor's to start. */
  running: () => boolean
  /** Ends the daemon hard; it is started again. */
  restart: () => void
  log: Log
}

export function createConntrackdWatch({ ask, ticks, running, restart, log }: ConntrackdWatchOptions): ConntrackdWatch {
  const looks: ConntrackdLook[] = []
  let ticksBefore: number | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = true
  /** Until the daemon that was started anew has answered. */
  let healing: string | undefined

  async function look(): Promise<void> {
    if (!running()) {
      looks.splice(0)
      return
    }
    const [stats, ipvs, used] = await Promise.all([ask(), readIpvsStats().catch(() => undefined), ticks()])
    const busy = used !== undefined && ticksBefore !== undefined && used - ticksBefore >= busyTicks
    ticksBefore = used
    looks.push({ stats, flowsBegun: ipvs?.connections ?? 0, busy })
    looks.splice(0, looks.length - busySteps - 1)
    if (stats !== undefined) healing = undefined
    const reason = stuckReason(looks)
    if (reason === undefined) return
    log.error({ daemon: 'conntrackd', reason }, 'conntrackd is stuck: starting it anew')
    healing = reason
    looks.splice(0)
    restart()
  }

  async function round(): Promise<void> {
    await look().catch((error: unknown) => log.warn({ error: String(error) }, 'looking at conntrackd failed'))
    if (!stopped) timer = setTimeout(() => void round(), lookEvery)
  }

  return {
    name: 'conntrackd-watch',
    async start() {
      stopped = false
      void round()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
    },
    latest: () => looks.at(-1)?.stats,
    problems: () => (healing === undefined ? [] : [healing]),
    look,
  }
}
