/**
 * The VIP for a lifetime. keepalived sets it for good: one that is killed with -9 or stopped leaves it behind, and two
 * pods answer for it. With a lifetime that this agent renews while VRRP works, the kernel itself takes it away; a
 * keepalived that is still there notices, steps back and lets the routers elect again.
 */
import type { Runner } from '@vpn-gateway/kernel'
import type { Component, Log } from '@vpn-gateway/runtime'
import { readBeats } from './beats.ts'
import type { Router } from './router.ts'
import { vipLifetime, type Vrrp } from './vrrp.ts'

export interface VipLeaseOptions {
  router: Router
  runner: Runner
  vrrp: Pick<Vrrp, 'state' | 'holdsVip'>
  log: Log
}

/** The component that renews the VIP's lifetime while this router is the active one. */
export interface VipLease extends Component {
  /** Gives a VIP that has just been set its lifetime at once. */
  update(): void
  /** Why the VIP is no longer renewed, one line; empty while all is well. */
  problems(): string[]
}

/** Milliseconds between two looks at the VRRP process, and between two renewals; two may fail. */
const lookEvery = 1000
const renewEvery = 2500

/** Makes the lease; nothing is changed before it is started. */
export function createVipLease({ router, runner, vrrp, log }: VipLeaseOptions): VipLease {
  const { plan, link, system, paths } = router
  /** Milliseconds without a sign of life after which the VRRP process counts as stuck. */
  const patience = Math.max(2000, 5000 * system.router.advertInterval)
  const holds = () => vrrp.state() === 'MASTER' && vrrp.holdsVip()
  let pulse = { beats: '', at: performance.now() }
  let stuck = false
  let renewedAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined

  async function look(): Promise<void> {
    const beats = await readBeats(paths.keepalived.pidFiles.vrrp)
    const now = performance.now()
    if (beats !== pulse.beats) pulse = { beats, at: now }
    const was = stuck
    stuck = beats === '' || now - pulse.at > patience
    if (stuck && !was) log.error({ vip: plan.vip }, 'the VRRP process does not run: the VIP is given up')
    if (!holds()) return
    if (stuck) return command('del')
    if (now - renewedAt < renewEvery) return
    renewedAt = now
    await command('change', 'valid_lft', String(vipLifetime), 'preferred_lft', String(vipLifetime))
    // The kernel adds an address that it is to change and that keepalived has just removed (inet_rtm_newaddr).
    if (vrrp.state() !== 'MASTER') await command('del')
  }

  async function command(verb: 'change' | 'del', ...life: string[]): Promise<void> {
    try {
      await runner.run({ argv: ['ip', 'address', verb, `${plan.vip}/${plan.prefixLength}`, 'dev', link, ...life] })
    } catch (error) {
      // Somebody else was faster.
      if (verb === 'del') return
      log.warn({ error: error instanceof Error ? error.message : String(error) }, 'the VIP could not be renewed')
    }
  }

  function update(fresh = false): void {
    if (timer === undefined || !holds()) return
    if (fresh) renewedAt = Number.NEGATIVE_INFINITY
    running ??= look().finally(() => (running = undefined))
  }

  return {
    name: 'vip-lease',
    async start() {
      pulse = { beats: '', at: performance.now() }
      timer = setInterval(() => update(), lookEvery)
      update()
    },
    async stop() {
      clearInterval(timer)
      timer = undefined
      await running
    },
    update: () => update(true),
    problems: () => (stuck && vrrp.state() === 'MASTER' ? ['VRRP: the process does not run'] : []),
  }
}
