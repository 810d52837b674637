/** One round: faults are done and undone, all settles, and is looked at. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Lab } from '@vpn-gateway/lab'
import { exitOf, pairOf } from '../awaiting.ts'
import { line, progress } from '../stage.ts'
import { isRole, mayLose, nameOf, type Round } from './catalog.ts'
import { deeds } from './deeds.ts'
import { inspect, settle, type Run } from './inspect.ts'
import { noFindings, unexcused, type Findings } from './invariants.ts'

/** Does and undoes the faults of a round, waits until all has settled, and looks. */
export async function playRound(run: Run, round: Round, at: number): Promise<Findings> {
  const { stage } = run
  const { lab } = stage
  const findings = noFindings()
  const pair = await pairOf(lab)
  const done = await Promise.allSettled(
    round.map(async (fault) => {
      await delay(fault.afterMs)
      const on = isRole(fault.on) ? pair[fault.on] : fault.on
      progress(isRole(fault.on) ? `${nameOf(fault)}, which is ${on}` : nameOf(fault))
      const undo = await deeds[fault.fault](lab, on, fault.detail ?? '')
      await delay(fault.forMs)
      await undo()
    }),
  )
  for (const each of done) if (each.status === 'rejected') throw each.reason
  const undone = performance.now()
  await settle(run, findings)
  const settledAfter = performance.now() - undone
  await inspect(run, findings)

  const report = await stage.report()
  const excuses = mayLose(round)
  const excused = new Set([...excuses.keys()].flatMap((name) => [exitOf(lab, name), addressOnCluster(lab, name)]))
  findings.losses.push(...unexcused(report, excused))
  const entry = await stage.record(round.map(nameOf).join(' + '), stage.flowCount, report)
  entry.may_lose = [...excuses.keys()]
  entry.at_s = Math.round(at)
  entry.settled_after_s = Math.round(settledAfter / 100) / 10
  for (const [name, reason] of excuses) if (report.lost > 0) line(`flows of ${name} may be lost: ${reason}`)
  if (entry.leaked_packets > 0) findings.leaks.push(`${entry.leaked_packets} packets`)

  const open = await stage.mark()
  if (open !== stage.flowCount) findings.connections.push(`${open} of ${stage.flowCount} flows could be opened again`)
  return findings
}

/** Address that a service sees inbound connections of a gateway come from. */
const addressOnCluster = (lab: Lab, gateway: string): string =>
  lab.topology.pods.find(({ name }) => name === gateway)?.clusterAddress ?? ''
