import { describe, expect, test } from 'vitest'
import { parseConntrackdStats, type ConntrackdStats } from '../src/conntrackd-stats.ts'
import { stuckReason, type ConntrackdLook } from '../src/conntrackd-watch.ts'
import { recorded } from './router.ts'

const base = parseConntrackdStats(recorded('conntrackd-stats.txt'))
const counted = (total: number) => ({ total, failed: 0 })

/** Four looks five seconds apart; each change is told how many steps have passed. */
function looks(change: (step: number) => Partial<ConntrackdStats>, flowsBegun: (step: number) => number = () => 0) {
  return [0, 1, 2, 3].map((step): ConntrackdLook => ({
    stats: { ...base, ...change(step) },
    flowsBegun: flowsBegun(step),
    busy: false,
  }))
}
const silent: ConntrackdLook = { stats: undefined, flowsBegun: 0, busy: false }
const times = (count: number, look: ConntrackdLook) => Array.from({ length: count }, () => look)

describe('conntrackd is left alone', () => {
  test.each<[string, ConntrackdLook[]]>([
    ['idle', looks(() => ({}))],
    [
      'before there were enough looks',
      looks(
        () => ({}),
        (step) => 10 * step,
      ).slice(1),
    ],
    [
      'busy',
      looks(
        (step) => ({ cache: { ...base.cache, created: counted(1200 + step) } }),
        (step) => step,
      ),
    ],
    ['unanswered twice', [...looks(() => ({})), silent, silent]],
    ['unanswered for long by one that works', [...looks(() => ({})), ...times(11, { ...silent, busy: true })]],
    [
      'flows began, but not always',
      looks(
        () => ({}),
        (step) => Math.min(step, 2),
      ),
    ],
    [
      'messages get lost, and others go into the kernel',
      looks((step) => ({
        lostMessages: step,
        receivedPackets: 10 * step,
        injected: { ...base.injected, updated: counted(step) },
      })),
    ],
  ])('%s', (_name, recent) => {
    expect(stuckReason(recent)).toBeUndefined()
  })
})

describe('conntrackd is started anew', () => {
  test.each<[string, ConntrackdLook[], RegExp]>([
    ['three questions without an answer', [...looks(() => ({})), silent, silent, silent], /does not answer/],
    ['none by one that worked and no longer does', [...times(3, { ...silent, busy: true }), silent], /does not answer/],
    ['none for a minute by one that works', times(12, { ...silent, busy: true }), /does not answer/],
    ['none since its start', [silent, silent, silent], /does not answer/],
    [
      'its cache stands still while flows begin',
      looks(
        () => ({}),
        (step) => step,
      ),
      /cache stands still/,
    ],
    [
      'messages get lost and nothing goes into the kernel',
      looks((step) => ({ lostMessages: step, receivedPackets: 10 * step })),
      /puts nothing into the kernel/,
    ],
  ])('%s', (_name, recent, reason) => {
    expect(stuckReason(recent)).toMatch(reason)
  })
})
