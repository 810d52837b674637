import { describe, expect, test } from 'vitest'
import { parseTestArguments } from '../src/checks/parts.ts'
import {
  NOTHING,
  addTotals,
  closingLines,
  exitCodeFor,
  nothingRan,
  oneCheck,
  totalsLine,
  vitestTotals,
} from '../src/checks/totals.ts'

const report = (...files: [status: string, ...tests: string[]][]): string =>
  JSON.stringify({
    testResults: files.map(([status, ...tests]) => ({
      status,
      assertionResults: tests.map((state) => ({ status: state })),
    })),
  })

describe('totals of a vitest run', () => {
  test('every test counts once, by how it ended', () => {
    const text = report(['passed', 'passed', 'passed'], ['failed', 'failed', 'passed', 'pending', 'todo'])
    expect(vitestTotals(text, 1)).toEqual({ passed: 3, failed: 1, skipped: 2 })
  })

  test('a file that could not be loaded is a failure', () => {
    expect(vitestTotals(report(['passed', 'passed'], ['failed']), 1)).toEqual({ passed: 1, failed: 1, skipped: 0 })
  })

  test('an error outside the tests is a failure', () => {
    expect(vitestTotals(report(['passed', 'passed']), 1)).toEqual({ passed: 1, failed: 1, skipped: 0 })
  })

  test.each([[undefined], [''], ['{"testResults":'], ['null'], ['{}']])('no report (%j) is a failure', (text) => {
    expect(vitestTotals(text, 0)).toEqual({ passed: 0, failed: 1, skipped: 0 })
  })
})

describe('the last line', () => {
  test('is passed and failed, whatever was skipped', () => {
    expect(closingLines({ passed: 12, failed: 0, skipped: 0 })).toEqual(['12 passed, 0 failed'])
    expect(closingLines({ passed: 12, failed: 1, skipped: 2 })).toEqual(['2 skipped', '12 passed, 1 failed'])
  })

  test('skipped tests did not run, failed ones did', () => {
    expect(nothingRan({ passed: 0, failed: 0, skipped: 9 })).toBe(true)
    expect(nothingRan({ passed: 0, failed: 1, skipped: 9 })).toBe(false)
    expect(nothingRan({ passed: 1, failed: 0, skipped: 9 })).toBe(false)
  })

  test('of a step names skipped tests only when there are any', () => {
    expect(totalsLine({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed')
    expect(totalsLine({ passed: 12, failed: 1, skipped: 2 })).toBe('12 passed, 1 failed, 2 skipped')
  })

  test('success needs something that ran', () => {
    expect(exitCodeFor(addTotals(oneCheck(true), NOTHING))).toBe(0)
    expect(exitCodeFor(addTotals(oneCheck(true), oneCheck(false)))).toBe(1)
    expect(exitCodeFor(NOTHING)).toBe(1)
    expect(exitCodeFor({ passed: 0, failed: 0, skipped: 3 })).toBe(1)
  })
})

test('parts to run', () => {
  expect([...parseTestArguments([]).parts]).toEqual(['static', 'unit', 'kernel', 'lab'])
  expect([...parseTestArguments(['lab', 'unit']).parts]).toEqual(['lab', 'unit'])
  expect(parseTestArguments(['--no-kvm']).noKvm).toBe(true)
  expect(parseTestArguments(['--help']).help).toBe(true)
  expect(parseTestArguments(['-h']).help).toBe(true)
  expect(parseTestArguments(['kernel', '--file', 'node', '--name', 'put back'])).toMatchObject({
    files: ['node'],
    name: 'put back',
  })
  expect(() => parseTestArguments(['fast'])).toThrow(/not fast/)
  expect(() => parseTestArguments(['--fast'])).toThrow(/'--fast'/)
})
