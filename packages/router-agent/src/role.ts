/** What follows from VRRP's state: what conntrackd is told, what the router is worth, what becomes of orphans. */
import { writeFile } from 'node:fs/promises'
import type { Component, Log } from '@vpn-gateway/runtime'
import type { Router } from './router.ts'
import type { VrrpState, VrrpTransition } from './vrrp.ts'
import { freshFor, worthOf } from './worth.ts'
import type { World } from './world.ts'

export interface Role extends Component {
  entered(transition: VrrpTransition): void
  /** Something changed that the router's worth depends on. */
  weigh(): void
  orphans(): World['orphans']
  /** Whether flows that this router does not know would be reset although they must not be any more. */
  resetsStill(): boolean
  /** From now on flows that this router does not know are not reset, whatever VRRP says. */
  withhold(): Promise<void>
}

export interface RoleOptions {
  router: Router
  /** Whether the router was active before this agent started: then it has long been told all. */
  wasActive: boolean
  liveGateways: () => number
  /** Whether it could take over now without losing a flow. */
  prepared: () => boolean
  /** Whether this router steps back by its own decision. */
  yields: () => boolean
  /** Tells conntrackd. */
  tell: (state: VrrpState) => Promise<void>
  /** Adds to connection tracking what IPVS knows and it lacks, while `needed` says so. */
  refill: (needed: () => boolean) => Promise<void>
  /** Desired state has changed: changes the kernel at once and says whether it holds all that it should. */
  apply: () => Promise<boolean>
  log: Log
}

/**
 * Milliseconds that a new active router waits before it resets flows that it does not know. IPVS sends what is new
 * within three (IPVS_SYNC_FLUSH_TIME and IPVS_SYNC_CHECK_PERIOD), and a takeover that was none is over by then.
 */
const settleAfter = 3000
/** Milliseconds between two tries to change the kernel. */
const retryAfter = 1000

export function createRole(options: RoleOptions): Role {
  const { router, wasActive, liveGateways, prepared, yields, tell, refill, apply, log } = options
  let settled = wasActive
  let tookOverAt: number | undefined
  let standsBy = false
  let active = false
  let withheld = false
  /** Set while what is no longer wanted may be in the kernel: a symbol for each time. */
  let leaving: symbol | undefined
  let retry: NodeJS.Timeout | undefined
  /** What the worth file holds, or is about to; undefined when it could not be written. */
  let wanted: number | undefined
  let writing = Promise.resolve()
  let filling = Promise.resolve()
  const timers: NodeJS.Timeout[] = []

  function weigh(): void {
    const sinceTakeover = tookOverAt === undefined ? undefined : Date.now() - tookOverAt
    const worth = worthOf({
      liveGateways: liveGateways(),
      sinceTakeover,
      standsBy,
      prepared: prepared(),
      yields: yields(),
    })
    if (worth === wanted) return
    wanted = worth
    // In order: of two that are written at the same time either may be the last.
    writing = writing.then(() => write(worth))
  }

  async function write(worth: number): Promise<void> {
    if (worth !== wanted) return
    try {
      await writeFile(router.paths.keepalived.worthFile, `${worth}\n`)
    } catch (error) {
      wanted = undefined
      log.warn({ error: String(error) }, 'writing the worth file failed')
    }
  }

  /** One at a time, for all use the same file. */
  function fill(): void {
    filling = filling
      .then(() => refill(() => active))
      .catch((error: unknown) =>
        log.warn({ error: String(error) }, 'telling connection tracking of the flows that IPVS knows failed'),
      )
  }

  /**
   * Before this is done, a router that takes over resets every flow by the rules of its last time as the active one: one that was
   * cut off, and saw no gateway, all that comes.
   */
  async function leave(): Promise<void> {
    settled = false
    const own = Symbol()
    leaving = own
    clearTimeout(retry)
    const applied = await apply()
    if (leaving !== own) return
    if (applied) {
      leaving = undefined
      weigh()
    } else retry = setTimeout(() => void leave(), retryAfter)
  }

  function clear(): void {
    for (const timer of timers.splice(0)) clearTimeout(timer)
  }

  return {
    name: 'role',
    async start() {
      // Of an agent before this one the kernel may hold what an active router does.
      if (!wasActive) void leave()
      weigh()
    },
    async stop() {
      clear()
      clearTimeout(retry)
    },
    entered({ from, to }) {
      clear()
      active = to === 'MASTER'
      if (active) fill()
      void tell(to)
      tookOverAt = to === 'MASTER' && from === 'BACKUP' ? Date.now() : undefined
      standsBy = to === 'BACKUP'
      weigh()
      if (to === 'MASTER') {
        timers.push(
          setTimeout(() => {
            settled = !withheld
            leaving = undefined
            clearTimeout(retry)
            void apply()
            // Once more for what the router of before has deleted last.
            fill()
          }, settleAfter),
          setTimeout(weigh, freshFor),
        )
      } else if (settled) void leave()
    },
    weigh,
    orphans: () => (settled ? 'reset' : 'drop'),
    resetsStill: () => leaving !== undefined,
    withhold() {
      withheld = true
      return leave()
    },
  }
}
