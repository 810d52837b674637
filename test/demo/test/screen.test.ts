import { expect, test } from 'vitest'
import { innocentLosses, lastReset, resetsOf, unevenness } from '../src/promises.ts'
import { createScreen, renderTable, wrap } from '../src/screen.ts'

const report = {
  flows: 3,
  alive: 1,
  lost: 2,
  resets: [
    { flow: 0, exit: '203.0.113.22', error: 'ECONNRESET', afterMs: 900 },
    { flow: 1, exit: '203.0.113.21', error: 'ECONNRESET', afterMs: 1200 },
  ],
  moves: [],
  perExit: {},
  longestSilenceMs: 0,
  stalled: 0,
  answers: 0,
}

test('the closing table lines up', () => {
  const event = { event: 'gateway-killed' as const, flows: 300, lost: 100, longest_silence_ms: 412, leaked_packets: 0 }
  expect(renderTable({ events: [event], spread: {}, ok: true })).toBe(
    [
      'event           flows  lost  longest silence  leaked packets',
      '──────────────  ─────  ────  ───────────────  ──────────────',
      'gateway-killed    300   100           0.41 s               0',
    ].join('\n'),
  )
})

test('the closing table of a chaos run says when, and which flows may be lost', () => {
  const event = { event: 'gateway-killed gateway-1', flows: 66, lost: 12, longest_silence_ms: 412, leaked_packets: 0 }
  const rows = [
    { ...event, may_lose: ['gateway-1'], at_s: 7, settled_after_s: 3.4 },
    { ...event, event: 'router-cut active', lost: 0, may_lose: [], at_s: 31, settled_after_s: 12 },
  ]
  expect(renderTable({ events: rows, spread: {}, ok: true }).split('\n')).toEqual([
    'event                       at  settled after  flows  lost  may be lost  longest silence  leaked packets',
    '────────────────────────  ────  ─────────────  ─────  ────  ───────────  ───────────────  ──────────────',
    'gateway-killed gateway-1   7 s          3.4 s     66    12    gateway-1           0.41 s               0',
    'router-cut active         31 s         12.0 s     66     0         none           0.41 s               0',
  ])
})

test('the closing table of the leak suite has a row for each case', () => {
  const sent = { tcp: 40, udp: 41, icmp: 42, dns: 43, ipv6: 44, large: 0 }
  const control = { from: 'client-0', pods: 6, underlay: 1, internet: 5 }
  const item = { case: 'tunnel-link-deleted', sent, leaked_packets: 0, control, closed_ms: 1234 }
  const { closed_ms: _, ...open } = { ...item, case: 'no-gateway', leaked_packets: 2 }
  expect(renderTable({ cases: [item, open], ok: false }).split('\n')).toEqual([
    'case                 tcp sent  udp sent  icmp sent  dns sent  ipv6 sent  leaked  control seen  closed for',
    '───────────────────  ────────  ────────  ─────────  ────────  ─────────  ──────  ────────────  ──────────',
    'tunnel-link-deleted        40        41         42        43         44       0     6 + 1 + 5      1.23 s',
    'no-gateway                 40        41         42        43         44       2     6 + 1 + 5',
  ])
})

test('without a terminal nothing is overwritten and no escape sequence is written', () => {
  let text = ''
  const screen = createScreen({ write: (chunk) => void (text += chunk) })
  screen.show({ type: 'chapter', title: 'A part', text: 'about something' })
  screen.show({ type: 'progress', text: 'working' })
  screen.show({ type: 'line', text: 'a figure' })
  screen.show({ type: 'promise', text: 'no flow was lost', held: false, timed: false })
  screen.end()
  expect(text).toBe('\nA part\n  about something\n    a figure\n  ✘ no flow was lost\n')
})

test('text is wrapped between words', () => {
  expect(wrap('one two three', 10)).toBe('  one two\n  three')
})

test('the spread is measured against an even share; an exit without flows is as uneven as can be', () => {
  expect(unevenness({ a: 100, b: 110, c: 90 }, 3)).toBeCloseTo(0.1)
  expect(unevenness({ a: 150, b: 150 }, 3)).toBe(1)
})

test('losses on the dead exit are told from others', () => {
  expect(innocentLosses(report, '203.0.113.22')).toBe(1)
  expect(innocentLosses({ ...report, stalled: 2 }, '203.0.113.22')).toBe(3)
  expect(lastReset(report, '203.0.113.22', 200)).toBe(700)
  expect(lastReset(report, '203.0.113.23', 200)).toBeUndefined()
})

test('a flow that ended in another way was not reset', () => {
  const timedOut = { flow: 2, exit: '203.0.113.22', error: 'ETIMEDOUT', afterMs: 4000 }
  const closed = { flow: 3, exit: '203.0.113.22', error: 'closed', afterMs: 5000 }
  const seen = { ...report, resets: [...report.resets, timedOut, closed] }
  expect(resetsOf(seen, '203.0.113.22').map(({ flow }) => flow)).toEqual([0])
  expect(lastReset(seen, '203.0.113.22', 200)).toBe(700)
})
