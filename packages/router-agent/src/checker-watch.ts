/**
 * Looks after keepalived's health checker. One that is stopped, hangs or spins leaves dead gateways in service, while all
 * else looks well: keepalived itself only starts one anew that has ended. So it is ended, and the IPVS table stays.
 */
import type { Component, Log } from '@vpn-gateway/runtime'
import { readBeats } from './beats.ts'

export interface CheckerWatchOptions {
  /** The checker's pid file, of a keepalived that this agent supervises. */
  pidFile: string
  /** Whether keepalived runs: a file of one that does not names any process. */
  running: () => boolean
  log: Log
}

/** The component, and what is wrong with the checker. */
export interface CheckerWatch extends Component {
  /** One line; empty while all is well. */
  problems(): string[]
}

/** What the looks so far say. Times are milliseconds of a clock that never goes back. */
export interface CheckerPulse {
  /** Empty without a process. */
  readonly beats: string
  /** Since when it has shown no sign of life. */
  readonly stillSince: number
  readonly lookedAt: number
  /** It was ended and has not been seen alive since. */
  readonly ended: boolean
}

/** Milliseconds between two looks, and without a sign of life until the checker counts as stuck: fifty checks by default. */
const lookEvery = 2000
const patience = 10_000

/**
 * Adds a look; `stuck` when the process is to be ended now. A look that comes much too late says that this machine stood
 * still, not the checker. Pure.
 */
export function afterLook(
  before: CheckerPulse | undefined,
  beats: string,
  now: number,
): { pulse: CheckerPulse; stuck: boolean } {
  if (before === undefined || beats === '' || beats !== before.beats || now - before.lookedAt > 2 * lookEvery) {
    const alive = before !== undefined && beats !== '' && beats !== before.beats
    return {
      pulse: { beats, stillSince: now, lookedAt: now, ended: before !== undefined && before.ended && !alive },
      stuck: false,
    }
  }
  const stuck = now - before.stillSince >= patience
  return {
    pulse: { beats, stillSince: stuck ? now : before.stillSince, lookedAt: now, ended: before.ended || stuck },
    stuck,
  }
}

/** Makes the component; it looks every two seconds. */
export function createCheckerWatch({ pidFile, running, log }: CheckerWatchOptions): CheckerWatch {
  let pulse: CheckerPulse | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = true

  async function look(): Promise<void> {
    if (!running()) {
      pulse = undefined
      return
    }
    const seen = afterLook(pulse, await readBeats(pidFile), performance.now())
    pulse = seen.pulse
    if (!seen.stuck || !running()) return
    const pid = Number.parseInt(pulse.beats, 10)
    log.error({ pid }, "keepalived's health checker is stuck: ending it, keepalived starts it anew")
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      // It has ended by itself.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  async function round(): Promise<void> {
    await look().catch((error: unknown) => log.warn({ error: String(error) }, 'looking at the health checker failed'))
    if (!stopped) timer = setTimeout(() => void round(), lookEvery)
  }

  return {
    name: 'checker-watch',
    async start() {
      stopped = false
      void round()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
    },
    problems: () => (pulse?.ended === true ? ["keepalived's health checker was stuck and is starting"] : []),
  }
}
