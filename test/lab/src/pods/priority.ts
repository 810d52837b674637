/** Who has the processor first in a lab whose machines are all on one: traffic, then the system, then whoever watches it. */
import { getPriority } from 'node:os'

/**
 * Nice value of agents above that of traffic (sched(7)). Whatever else runs here is on machines of its own in a cluster, and no
 * packet waits for an agent.
 */
export const agentNice = 2

/** A command line that runs as traffic does, whatever this process' own nice value; jobs of the lab's machine have 5. */
export function asTraffic(argv: readonly [string, ...string[]]): [string, ...string[]] {
  const own = getPriority()
  return own === 0 ? [...argv] : ['nice', '-n', String(-own), ...argv]
}
