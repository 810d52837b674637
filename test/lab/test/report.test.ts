import { describe, expect, it } from 'vitest'
import { sumReports } from '../src/traffic/report.ts'
import type { FlowReport } from '../src/traffic/report.ts'

const report = (over: Partial<FlowReport>): FlowReport => ({
  flows: 10,
  alive: 10,
  lost: 0,
  resets: [],
  moves: [],
  perExit: {},
  longestSilenceMs: 0,
  stalled: 0,
  answers: 0,
  ...over,
})

describe('sumReports', () => {
  it('adds up counts and keeps the longest silence', () => {
    const lost = { flow: 3, exit: '203.0.113.21', error: 'ECONNRESET', afterMs: 900 }
    const moved = { flow: 4, from: '203.0.113.22', to: '203.0.113.21', afterMs: 800 }
    const sum = sumReports([
      report({ perExit: { '203.0.113.21': 4, '203.0.113.22': 6 }, longestSilenceMs: 400, moves: [moved] }),
      report({ alive: 9, lost: 1, resets: [lost], perExit: { '203.0.113.21': 9 }, longestSilenceMs: 310, stalled: 2 }),
    ])
    expect(sum).toEqual({
      flows: 20,
      alive: 19,
      lost: 1,
      resets: [lost],
      moves: [moved],
      perExit: { '203.0.113.21': 13, '203.0.113.22': 6 },
      longestSilenceMs: 400,
      stalled: 2,
      answers: 0,
    })
  })
})
