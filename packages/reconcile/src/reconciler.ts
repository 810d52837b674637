/** The loop of every agent: read, compare, change only the difference, read again. Kernel state is the only memory. */
import { isDeepStrictEqual } from 'node:util'
import { watchNetlink, type DesiredState, type Owner, type Runner } from '@vpn-gateway/kernel'
import { apply, type StepFailure } from './apply.ts'
import { createReconcileMetrics, type MetricsRegistry } from './metrics.ts'
import { observe } from './observe.ts'
import { conflicts, plan } from './plan.ts'
import { describeStep, type Step } from './step.ts'

/** What the last pass found. */
export interface ReconcileStatus {
  /** The kernel held all that is desired when it was last read. */
  converged: boolean
  passes: number
  /** Unix seconds. */
  lastPassAt?: number
  /** Unix seconds. */
  lastConvergedAt?: number
  /** Milliseconds that the last pass took. */
  lastPassMilliseconds?: number
  /** One line each. */
  errors: string[]
  /** Steps that are left, one line each. */
  pending: string[]
  /** Changes that nobody asked for and that were undone, since start. */
  driftRepaired: number
}

/** The logger's part that the loop needs; pino's fits. */
export interface ReconcileLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface ReconcilerOptions {
  name: string
  owner: Owner
  runner: Runner
  /** What should be, from configuration and the world as it is now. A rejection is an error of the pass, nothing changes. */
  desired: () => Promise<DesiredState> | DesiredState
  log: ReconcileLog
  registry?: MetricsRegistry
  /** Seconds between full passes when nothing happens; 30 unless said. Events make what they can tell of faster. */
  intervalSeconds?: number
  /** React on kernel events; yes unless said. */
  watch?: boolean
}

export interface Reconciler {
  readonly name: string
  /** Runs the first pass; resolves when it ended, converged or not. */
  start(signal: AbortSignal): Promise<void>
  /** Ends the loop after the running pass. What the kernel holds stays. */
  stop(deadline: AbortSignal): Promise<void>
  /** Asks for a pass soon. Many requests become one pass. */
  trigger(reason: string): void
  /** Resolves after a whole pass that began later than this call. */
  settled(): Promise<ReconcileStatus>
  status(): ReconcileStatus
  onPass(listener: (status: ReconcileStatus) => void): void
}

/** Milliseconds that events are gathered before a pass. */
const debounce = 50
/** Milliseconds after a pass that did not converge. */
const retryAfter = 1000

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { owner, runner, log } = options
  const metrics = options.registry === undefined ? undefined : createReconcileMetrics(options.registry)
  const watch =
    options.watch === false
      ? undefined
      : watchNetlink((object) => {
          heard.add(object)
          wake()
        })
  const listeners: ((status: ReconcileStatus) => void)[] = []
  let waiting: ((status: ReconcileStatus) => void)[] = []
  let status: ReconcileStatus = { converged: false, passes: 0, errors: ['no pass yet'], pending: [], driftRepaired: 0 }
  /** What the kernel was last seen to hold in full: the same again and a difference is drift. */
  let established: DesiredState | undefined
  let running: Promise<void> | undefined
  /** Why the next pass is due: what the agent asked for; what the kernel told of, which may be no more than the loop's own doing. */
  const requested = new Set<string>()
  const heard = new Set<string>()
  let stopped = true
  let timer: NodeJS.Timeout | undefined
  /** When the next pass begins, by performance.now(). */
  let due = Number.POSITIVE_INFINITY

  /** Events that keep coming must not keep the machine busy: half of the time is the loop's at most. */
  const pause = (): number => Math.max(debounce, status.lastPassMilliseconds ?? 0)

  function request(reason: string, after?: number): void {
    requested.add(reason)
    wake(after)
  }

  function wake(after = pause()): void {
    if (stopped || running !== undefined) return
    schedule(after)
  }

  /** Brings the next pass forward, never back: events without end must not put it off without end. */
  function schedule(after: number): void {
    const at = performance.now() + after
    if (at >= due) return
    due = at
    clearTimeout(timer)
    timer = setTimeout(() => void pass(), after)
  }

  async function pass(otherwise = 'interval'): Promise<void> {
    if (running !== undefined || stopped) return
    clearTimeout(timer)
    due = Number.POSITIVE_INFINITY
    const reasons = [...requested, ...heard].join(', ')
    requested.clear()
    heard.clear()
    const answer = waiting
    waiting = []
    running = onePass(reasons === '' ? otherwise : reasons)
    await running
    running = undefined
    for (const listener of [...listeners, ...answer]) listener(status)
    if (stopped) return
    if (waiting.length > 0) schedule(0)
    else if (requested.size > 0 || heard.size > 0) schedule(pause())
    else schedule(status.converged ? (options.intervalSeconds ?? 30) * 1000 : retryAfter)
  }

  async function onePass(reason: string): Promise<void> {
    const started = performance.now()
    const result = await attempt(reason)
    const now = Date.now() / 1000
    const converged = result.errors.length === 0 && result.pending.length === 0
    const milliseconds = performance.now() - started
    if (!converged && !isDeepStrictEqual(result.errors, status.errors)) {
      log.warn({ reason, errors: result.errors, pending: result.pending.map(describeStep) }, 'not converged')
    }
    if (converged && !status.converged) log.info({ reason, milliseconds: Math.round(milliseconds) }, 'converged')
    status = {
      ...status,
      converged,
      passes: status.passes + 1,
      lastPassAt: now,
      lastPassMilliseconds: milliseconds,
      ...(converged ? { lastConvergedAt: now } : {}),
      errors: result.errors,
      pending: result.pending.map(describeStep),
      driftRepaired: status.driftRepaired + result.drift,
    }
    metrics?.pass(converged, milliseconds / 1000)
  }

  async function attempt(reason: string): Promise<{ errors: string[]; pending: Step[]; drift: number }> {
    try {
      const desired = await options.desired()
      const observed = await observe(runner, desired, owner)
      const errors = conflicts(desired, observed, owner)
      const steps = plan(desired, observed, owner)
      if (steps.length === 0) {
        if (errors.length === 0) established = desired
        return { errors, pending: [], drift: 0 }
      }
      const drift = isDeepStrictEqual(desired, established) ? steps : []
      log.info({ reason, steps: steps.map(describeStep), drift: drift.length > 0 }, 'changing the kernel')
      const failures = await apply(runner, steps)
      for (const step of steps) metrics?.step(step)
      heard.clear()
      const left = plan(desired, await observe(runner, desired, owner), owner)
      for (const step of drift) metrics?.drift(step)
      errors.push(...explain(left, failures))
      if (errors.length === 0) established = desired
      return { errors, pending: left, drift: drift.length }
    } catch (error) {
      return { errors: [error instanceof Error ? error.message : String(error)], pending: [], drift: 0 }
    }
  }

  return {
    name: options.name,
    async start(signal) {
      stopped = false
      await watch?.start(signal)
      await pass('start')
    },
    async stop(deadline) {
      stopped = true
      clearTimeout(timer)
      await watch?.stop(deadline)
      await running
    },
    trigger: request,
    settled() {
      return new Promise((resolve) => {
        waiting.push(resolve)
        request('asked', 0)
      })
    },
    status: () => status,
    onPass: (listener) => void listeners.push(listener),
  }
}

/** One line for each step that is left; a failed step that is no longer needed is no error. */
function explain(left: readonly Step[], failures: readonly StepFailure[]): string[] {
  return left.map((step) => {
    const said = failures.find((failure) => describeStep(failure.step) === describeStep(step))
    return `${describeStep(step)}: ${said?.error.message ?? 'was done and is not there'}`
  })
}
