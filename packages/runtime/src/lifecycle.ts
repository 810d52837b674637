import type { Component } from './component.ts'
import type { Log } from './log.ts'

/** Components that are started in order and stopped in reverse. */
export interface Lifecycle {
  /** Starts one after the other; when one fails, those before it are stopped and its error is thrown. */
  start(signal: AbortSignal): Promise<void>
  /** Stops what was started, in reverse; a failure is logged and does not keep the others from stopping. */
  stop(deadline: AbortSignal): Promise<void>
}

export function createLifecycle(components: readonly Component[], log: Log): Lifecycle {
  const started: Component[] = []
  async function stop(deadline: AbortSignal): Promise<void> {
    for (let component = started.pop(); component !== undefined; component = started.pop()) {
      try {
        await component.stop(deadline)
      } catch (error) {
        log.error(
          { component: component.name, error: error instanceof Error ? error.message : String(error) },
          'stopping failed',
        )
      }
    }
  }
  return {
    async start(signal) {
      for (const component of components) {
        try {
          await component.start(signal)
        } catch (error) {
          await stop(AbortSignal.timeout(stopAfterFailure))
          throw error
        }
        started.push(component)
      }
    },
    stop,
  }
}

/** Milliseconds for stopping what had started when a later component failed. */
const stopAfterFailure = 5000
