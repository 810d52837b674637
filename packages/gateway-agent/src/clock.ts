/** Seconds that one reading may add: more has passed only when the process did not run. */
const longestStep = 0.5

/**
 * A clock in seconds that stands still while the process does not run. It has to be read several times a second. Time in
 * which no probe could be sent and no answer be read, on a node that is out of CPU, is no silence of the tunnel.
 */
export function createRunningClock(milliseconds: () => number = () => performance.now()): () => number {
  let last = milliseconds() / 1000
  let elapsed = 0
  return () => {
    const now = milliseconds() / 1000
    elapsed += Math.min(now - last, longestStep)
    last = now
    return elapsed
  }
}
