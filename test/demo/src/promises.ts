/** What has to be true of the figures. */
import type { FlowReport, LostFlow } from '@vpn-gateway/lab'

/** Greatest deviation of any exit from an even share, as a fraction of that share; 1 when an exit has no flow. */
export function unevenness(perExit: Record<string, number>, exits: number): number {
  const flows = Object.values(perExit)
  const even = flows.reduce((sum, count) => sum + count, 0) / exits
  if (flows.length < exits || even === 0) return 1
  return Math.max(...flows.map((count) => Math.abs(count - even) / even))
}

/** Flows through an exit that were reset, as a dead gateway's must be; one that ended in another way was not. */
export function resetsOf(report: FlowReport, exit: string): LostFlow[] {
  return report.resets.filter((lost) => lost.exit === exit && lost.error === 'ECONNRESET')
}

/** Flows that ended although their exit lived, or that fell silent. */
export function innocentLosses(report: FlowReport, deadExit: string): number {
  return report.resets.filter((reset) => reset.exit !== deadExit).length + report.stalled
}

/** Milliseconds from an exit's death, `alive` after the mark, to the reset of its last flow; undefined without a loss. */
export function lastReset(report: FlowReport, deadExit: string, alive: number): number | undefined {
  const times = resetsOf(report, deadExit).map((reset) => reset.afterMs)
  return times.length === 0 ? undefined : Math.max(...times) - alive
}
