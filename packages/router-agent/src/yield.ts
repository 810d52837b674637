/** Steps back where VRRP would not, and returns to VRRP's order as soon as that works again. */
import { listRuleCounters, type Runner } from '@vpn-gateway/kernel'
import type { Log } from '@vpn-gateway/runtime'
import { advertsRule } from './firewall.ts'
import {
  advertsArrive,
  countAdverts,
  holdersOf,
  judge,
  patience,
  type Adverts,
  type Judgement,
  type YieldReason,
} from './judgement.ts'
import type { Peer, Standing } from './peers.ts'
import type { Router } from './router.ts'

export interface YieldOptions {
  router: Router
  runner: Runner
  own: () => Standing
  peers: () => Iterable<Peer>
  /** Told when the decision changed. */
  onChange: () => void
  log: Log
}

export interface Yield {
  /** Judges anew. */
  look(): void
  /** Why this router steps back; undefined while it does not. */
  reason(): YieldReason | undefined
}

/** Makes the judge: whoever learns something calls `look`; a doubt is looked at again when it has lasted long enough. */
export function createYield({ router, runner, own, peers, onChange, log }: YieldOptions): Yield {
  let judgement: Judgement = { kind: 'serving' }
  let adverts: Adverts | undefined
  let counting: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const before = judgement
    const standing = { ...own(), address: router.address }
    const others = [...peers()]
    if (holdersOf(others) !== 1) adverts = undefined
    judgement = judge(before, {
      own: standing,
      peers: others,
      advertsArrive: advertsArrive(adverts),
      now: performance.now(),
    })
    if (judgement.kind !== 'yielding') adverts = undefined
    else if (holdersOf(others) === 1) count()
    clearTimeout(timer)
    if (judgement.kind === 'doubting') {
      timer = setTimeout(look, judgement.since + patience[judgement.reason] - performance.now())
      timer.unref()
    }
    if (judgement.kind === before.kind) return
    if (judgement.kind === 'yielding') log.warn({ reason: judgement.reason }, 'stepping back')
    else if (before.kind === 'yielding') log.info({ was: before.reason }, 'no longer stepping back')
    if (judgement.kind === 'yielding' || before.kind === 'yielding') onChange()
  }

  /** Reads how many adverts have come, by the counter of the rule that lets them in. */
  function count(): void {
    counting ??= listRuleCounters(runner, 4, 'filter')
      .then((counters) => {
        const heard = counters.find(({ rule }) => rule === advertsRule(router))?.packets ?? 0
        adverts = countAdverts(adverts, heard, performance.now())
      })
      .catch((error: unknown) => log.warn({ error: String(error) }, 'counting the adverts failed'))
      .finally(() => (counting = undefined))
  }

  return {
    look,
    reason: () => (judgement.kind === 'yielding' ? judgement.reason : undefined),
  }
}
