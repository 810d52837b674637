import type { System } from './schema.ts'

type Stickiness = System['router']['stickiness'][number]

/**
 * IPVS scheduler of the service for clients of one kind of stickiness, or of none. Services of client and destination each
 * begin with nothing, and `wlc` would begin each with the same gateway: a single client's destinations would all share it.
 * `mh` with the source port is as good as drawing lots, by weight.
 */
export function serviceScheduler({ router }: System, sticky?: Stickiness): string {
  return sticky?.by === 'client-and-destination' ? 'mh' : router.scheduler
}

/** All schedulers that a system's routers need, each once. */
export function schedulersOf(system: System): string[] {
  const sticky = system.router.stickiness.map((each) => serviceScheduler(system, each))
  return [...new Set([serviceScheduler(system), ...sticky])]
}
