/** Waiting for a condition that nobody announces, with a bound and an error that says what was awaited. */
import { setTimeout as delay } from 'node:timers/promises'

export interface WaitOptions {
  /** Milliseconds until the wait fails. */
  timeoutMs: number
  /** Milliseconds between two looks; 100 unless said. */
  intervalMs?: number
}

/** Thrown by a look that knows that waiting longer is of no use. */
export class GivenUp extends Error {}

/**
 * Resolves to the first value that is not `undefined`. `look` may throw or return `undefined` for "not yet"; what it
 * threw last is part of the error when time is up.
 */
export async function awaitCondition<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  { timeoutMs, intervalMs = 100 }: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let last = ''
  for (;;) {
    try {
      const value = await look()
      if (value !== undefined) return value
      last = ''
    } catch (error) {
      if (error instanceof GivenUp) throw error
      last = error instanceof Error ? error.message : String(error)
    }
    if (performance.now() >= deadline) {
      throw new Error(`waited ${(timeoutMs / 1000).toFixed(0)} s for ${what}${last === '' ? '' : `: ${last}`}`)
    }
    await delay(intervalMs)
  }
}
