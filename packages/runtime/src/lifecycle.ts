import type { Component } from './component.ts'
import { untilOverdue } from './deadline.ts'
import type { Log } from './log.ts'

/** Components that are started in order and stopped in reverse. */
export interface Lifecycle {
  /**
   * Starts one after the other until `signal` aborts; when one fails, those before it are stopped and its error is
   * thrown.
   */
  start(signal: AbortSignal): Promise<void>
  /**
   * Stops what was started, in reverse, and first of all what is just starting. A failure, or one that does not heed the
   * deadline, is logged and does not keep the others from stopping.
   */
  stop(deadline: AbortSignal): Promise<void>
}

/** Milliseconds for stopping what had started when a later component failed. */
const stopAfterFailure = 5000

export function createLifecycle(components: readonly Component[], log: Log): Lifecycle {
  const started: Component[] = []
  let starting: Promise<void> | undefined

  async function stop(deadline: AbortSignal): Promise<void> {
    if (starting !== undefined) await untilOverdue(starting, deadline).catch(() => undefined)
    for (let component = started.pop(); component !== undefined; component = started.pop()) {
      const { name } = component
      try {
        const end = await untilOverdue(component.stop(deadline), deadline)
        if (end === 'overdue') log.error({ component: name }, 'stopping took too long: left as it is')
      } catch (error) {
        log.error({ component: name, error: error instanceof Error ? error.message : String(error) }, 'stopping failed')
      }
    }
  }

  return {
    async start(signal) {
      for (const component of components) {
        if (signal.aborted) return
        try {
          starting = component.start(signal).then(() => void started.push(component))
          await starting
        } catch (error) {
          starting = undefined
          await stop(AbortSignal.timeout(stopAfterFailure))
          throw error
        }
        starting = undefined
      }
    },
    stop,
  }
}
