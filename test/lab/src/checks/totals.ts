/** Counting what was tested, from checks that have no more than an exit code up to vitest's own reports. */

export interface Totals {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const NOTHING: Totals = { passed: 0, failed: 0, skipped: 0 }

/** One check that passed or failed as a whole. */
export const oneCheck = (passed: boolean): Totals => ({ passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 })

export const addTotals = (a: Totals, b: Totals): Totals => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
})

/** Totals of one step, for the reader. */
export function totalsLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** The end of `npm test`: its last line is always `N passed, N failed`, which machines read; skipped ones stand before. */
export function closingLines({ passed, failed, skipped }: Totals): string[] {
  return [...(skipped > 0 ? [`${skipped} skipped`] : []), `${passed} passed, ${failed} failed`]
}

/** Whether no test ran; where tests were chosen by name, nobody asked for that. */
export const nothingRan = ({ passed, failed }: Totals): boolean => passed + failed === 0

/** 0 only if something ran and nothing failed. */
export const exitCodeFor = (totals: Totals): 0 | 1 => (totals.failed === 0 && totals.passed > 0 ? 0 : 1)

/** The parts of vitest's JSON report that count. */
interface Report {
  testResults: { status: string; assertionResults: { status: string }[] }[]
}

function readReport(text: string | undefined): Report | undefined {
  try {
    const report = JSON.parse(text ?? '') as Partial<Report> | null
    return Array.isArray(report?.testResults) ? (report as Report) : undefined
  } catch {
    return undefined
  }
}

/**
 * Totals of one vitest run. `report` is its JSON report or undefined when it wrote none; a crash, a file that could not
 * be loaded and an error outside any test count as one failure each, since no test stands for them.
 */
export function vitestTotals(report: string | undefined, exitCode: number): Totals {
  const parsed = readReport(report)
  if (!parsed) return oneCheck(false)
  let totals = NOTHING
  for (const file of parsed.testResults) {
    const count = (...states: string[]): number =>
      file.assertionResults.filter((result) => states.includes(result.status)).length
    const passed = count('passed')
    const failed = count('failed')
    const skipped = file.assertionResults.length - passed - failed
    totals = addTotals(totals, { passed, failed, skipped })
    if (file.status === 'failed' && failed === 0) totals = addTotals(totals, oneCheck(false))
  }
  return exitCode !== 0 && totals.failed === 0 ? addTotals(totals, oneCheck(false)) : totals
}
