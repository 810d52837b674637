/**
 * What VRRP made of this router. keepalived says it by a FIFO, whose lines can be lost, and it is to be seen by who holds
 * the VIP; both are heard, and what lasts wins.
 */
import { networkInterfaces } from 'node:os'
import { readFifo, type Component, type Fifo, type Log } from '@vpn-gateway/runtime'
import { vrrpInstance } from './keepalived.ts'
import type { Router } from './router.ts'

export type VrrpState = 'MASTER' | 'BACKUP' | 'FAULT' | 'STOP'

/** Why a router changed its state, for the metrics. */
export type VrrpCause = 'start' | 'peer-silent' | 'peer-left' | 'peer-preferred' | 'link' | 'told-to-stop' | 'unknown'

export interface VrrpTransition {
  from: VrrpState | undefined
  to: VrrpState
  cause: VrrpCause
  /** Unix milliseconds. */
  at: number
}

export interface Vrrp extends Component {
  /** Undefined until keepalived has said it or the VIP was seen. */
  state(): VrrpState | undefined
  holdsVip(): boolean
  last(): VrrpTransition | undefined
  /** Hears of a cause in keepalived's log, for the transition that follows or has just been. */
  hint(cause: VrrpCause): void
  /** keepalived was found running: without a word from it, who does not hold the VIP is a backup. */
  assumeRunning(): void
}

export interface VrrpOptions {
  router: Router
  log: Log
  onTransition: (transition: VrrpTransition) => void
}

/** Milliseconds between two looks at the VIP; an ioctl-sized read in this process. */
const lookEvery = 500
/** Seconds that the VIP lasts without a renewal: longer than an agent is silent on a busy machine. */
export const vipLifetime = 8
/** Looks in a row that must disagree with what keepalived said. */
const doubt = 3
/**
 * The same where it said that it does not have the VIP, which is there: a renewal that comes just after keepalived has removed
 * the VIP adds it again (inet_rtm_newaddr). That one is gone with its lifetime; one that keepalived has set stays.
 */
const doubtOfOwning = ((vipLifetime + 2) * 1000) / lookEvery
/** Milliseconds that a line of the log and one of the FIFO may lie apart. */
const causeWindow = 300

export function createVrrp({ router, log, onTransition }: VrrpOptions): Vrrp {
  let state: VrrpState | undefined
  let last: VrrpTransition | undefined
  let cause: { cause: VrrpCause; at: number } | undefined
  let running = false
  /** keepalived has said what it is, to this agent. */
  let told = false
  let disagreed = 0
  let fifo: Fifo | undefined
  let timer: NodeJS.Timeout | undefined
  let settle: NodeJS.Timeout | undefined

  const holdsVip = () => holdsVirtualAddress(router)

  function enter(to: VrrpState): void {
    if (to === state) return
    const transition: VrrpTransition = { from: state, to, cause: causeOf(state, to), at: Date.now() }
    state = to
    last = transition
    disagreed = 0
    onTransition(transition)
    // The log's line may come after the FIFO's.
    clearTimeout(settle)
    settle = setTimeout(
      () => log.info({ from: transition.from, to, cause: transition.cause }, `VRRP ${to}`),
      causeWindow,
    )
  }

  function causeOf(from: VrrpState | undefined, to: VrrpState): VrrpCause {
    if (from === undefined) return 'start'
    if (to === 'STOP') return 'told-to-stop'
    return cause !== undefined && Date.now() - cause.at < causeWindow ? cause.cause : 'unknown'
  }

  function look(): void {
    const holds = holdsVip()
    const seen = holds ? 'MASTER' : state === undefined && !running ? undefined : state === 'MASTER' ? 'BACKUP' : state
    const read = seen ?? (running ? 'BACKUP' : undefined)
    disagreed = read === undefined || read === state ? 0 : disagreed + 1
    if (read !== undefined && disagreed >= (holds && told ? doubtOfOwning : doubt)) enter(read)
  }

  return {
    name: 'vrrp',
    async start() {
      fifo = await readFifo(router.paths.keepalived.vrrpFifo, (line) => {
        const said = parseVrrpLine(line)
        if (said === undefined) return
        told = true
        enter(said)
      })
      if (holdsVip()) enter('MASTER')
      timer = setInterval(look, lookEvery)
    },
    async stop() {
      clearInterval(timer)
      clearTimeout(settle)
      fifo?.close()
    },
    state: () => state,
    holdsVip,
    last: () => last,
    hint(heard) {
      cause = { cause: heard, at: Date.now() }
      if (last?.cause === 'unknown' && Date.now() - last.at < causeWindow) last.cause = heard
    },
    assumeRunning() {
      running = true
    },
  }
}

/** State in a line of the FIFO, `INSTANCE "egress" MASTER 250`; undefined for other instances and other events. */
export function parseVrrpLine(line: string): VrrpState | undefined {
  const [, instance, state] = /^INSTANCE "([^"]*)" (\S+)/.exec(line) ?? []
  if (instance !== vrrpInstance) return undefined
  return state === 'MASTER' || state === 'BACKUP' || state === 'FAULT' || state === 'STOP' ? state : undefined
}

/** Whether this router has the VIP, from getifaddrs(3). */
export function holdsVirtualAddress({ link, plan }: Pick<Router, 'link' | 'plan'>): boolean {
  return (networkInterfaces()[link] ?? []).some((held) => held.address === plan.vip)
}
