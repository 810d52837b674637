/** One round: faults are done and undone, all settles, and is looked at. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Lab } from '@vpn-gateway/lab'
import { exitOf, pairOf } from '../awaiting.ts'
import { line, progress } from '../stage.ts'
import { costOf, isRole, mayLose, nameOf, type Fault, type Round } from './catalog.ts'
import { deeds } from './deeds.ts'
import { inspect, settle, type Run } from './inspect.ts'
import { noFindings, unexcused, type Excuse, type Findings } from './invariants.ts'

/** Milliseconds after all has settled in which a flow may still be found lost: silence counts from the third second on. */
const foundWithinMs = 5000

/** Does and undoes the faults of a round, waits until all has settled, and looks. */
export async function playRound(run: Run, round: Round, at: number): Promise<Findings> {
  const { stage } = run
  const { lab } = stage
  const findings = noFindings()
  const pair = await pairOf(lab)
  const begun = new Map<Fault, number>()
  const done = await Promise.allSettled(
    round.map(async (fault) => {
      await delay(fault.afterMs)
      const on = isRole(fault.on) ? pair[fault.on] : fault.on
      progress(isRole(fault.on) ? `${nameOf(fault)}, which is ${on}` : nameOf(fault))
      begun.set(fault, performance.now())
      const undo = await deeds[fault.fault](lab, on, fault.detail ?? '')
      await delay(fault.forMs)
      await undo()
    }),
  )
  for (const each of done) if (each.status === 'rejected') throw each.reason
  const undone = performance.now()
  await settle(run, findings)
  const settled = performance.now()
  await inspect(run, findings)

  const report = await stage.report()
  const { from, to } = stage.marked
  const excuses = [...begun].map(([fault, since]): Excuse => ({
    exits: new Set(costOf(fault).flatMap((name) => [exitOf(lab, name), addressOnCluster(lab, name)])),
    fromMs: since - to,
    untilMs: settled + foundWithinMs - from,
  }))
  findings.losses.push(...unexcused(report, excuses))
  const reasons = mayLose(round)
  const entry = await stage.record(round.map(nameOf).join(' + '), stage.flowCount, report)
  entry.may_lose = [...reasons.keys()]
  entry.at_s = Math.round(at)
  entry.settled_after_s = Math.round((settled - undone) / 100) / 10
  for (const [name, reason] of reasons) if (report.lost > 0) line(`flows of ${name} may be lost: ${reason}`)
  if (entry.leaked_packets > 0) findings.leaks.push(`${entry.leaked_packets} packets`)

  const open = await stage.mark()
  if (open !== stage.flowCount) findings.connections.push(`${open} of ${stage.flowCount} flows could be opened again`)
  return findings
}

/** Address that a service sees inbound connections of a gateway come from. */
const addressOnCluster = (lab: Lab, gateway: string): string =>
  lab.topology.pods.find(({ name }) => name === gateway)?.clusterAddress ?? ''
