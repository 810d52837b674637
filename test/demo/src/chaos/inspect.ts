/** Waits until a system has settled, and looks at what it has to hold then. */
import { setTimeout as delay } from 'node:timers/promises'
import { awaitCondition, type Flows, type Footprint, type Lab } from '@vpn-gateway/lab'
import { awaitAllInService, awaitSettled, pairOf, routersOf } from '../awaiting.ts'
import type { ChaosResult } from '../message.ts'
import { progress, type Stage } from '../stage.ts'
import { growth } from './growth.ts'
import type { Findings } from './invariants.ts'
import { rising } from './trend.ts'

/** Milliseconds within which all agents have to be ready again: emulated, a pod and its agent start in half a minute. */
const readyWithinMs = 120_000
/** Milliseconds within which TCP, which waits twice as long after each try, has to have noticed that its way is there again. */
const heardWithinMs = 90_000
/** Milliseconds within which the kernel has to be as planned; drift that no event tells of is seen every half minute. */
const plannedWithinMs = 60_000
/** Milliseconds between two looks at who holds the VIP, while the rest is looked at: each starts two programs. */
const ownerEveryMs = 2000

/** A run with all that it is looked at by. */
export interface Run {
  stage: Stage
  /** Short connections of each client. */
  brief: readonly Flows[]
  /** What the system held after warming up, and then after each round; empty before it has been looked at. */
  held: Footprint[]
  result: ChaosResult
}

/** Waits, each time with a bound, until everything works as before; what does not is found. */
export async function settle({ stage }: Run, findings: Findings): Promise<void> {
  const { lab } = stage
  const found = (problems: string[]) => (error: unknown) =>
    void problems.push(error instanceof Error ? error.message : String(error))
  progress('every agent gets ready again')
  await Promise.all(
    lab.agents.names.map((name) => lab.agents.awaitReady(name, readyWithinMs).catch(found(findings.ready))),
  )
  progress('one router alone is active')
  await pairOf(lab).catch(found(findings.owner))
  progress('every gateway is in service')
  // Also where nothing is sent yet: what a standby lacks would be missed only once it takes over.
  for (const router of routersOf(lab)) await awaitAllInService(lab, router).catch(found(findings.ready))
  await awaitSettled(lab).catch(found(findings.ready))
  // What is silent for good is found with the flows.
  await awaitCondition(
    'no flow to be silent',
    async () => {
      const { alive, stalled } = await stage.report()
      progress(`${alive} flows alive, ${stalled} silent`)
      return stalled === 0 ? true : undefined
    },
    { timeoutMs: heardWithinMs, intervalMs: 500 },
  ).catch(() => undefined)
}

/** Looks at all that a settled system has to hold. */
export async function inspect(run: Run, findings: Findings): Promise<void> {
  const { stage, brief, held, result } = run
  const { lab } = stage
  progress('asking for fresh plans')
  await Promise.all(brief.map((flows) => flows.mark()))
  const looking = new AbortController()
  const owners = watchOwners(lab, looking.signal)
  try {
    // One after the other: each is a program of its own, and the system is to go on meanwhile.
    for (const name of lab.agents.names) findings.plan.push(...(await differences(lab, name)))
  } finally {
    looking.abort()
  }
  findings.owner.push(...(await owners))
  for (const flows of brief) {
    const { answers, resets } = await flows.report()
    const errors = [...new Set(resets.map(({ error }) => error))].join(', ')
    const name = `short ${flows.protocol} flows of ${flows.client}`
    if (resets.length > 0) findings.connections.push(`${resets.length} ${name} failed: ${errors}`)
    if (answers === 0) findings.connections.push(`${name} got no answer`)
  }
  const [before] = held
  if (before === undefined) return
  progress('measuring what the system holds')
  // A router that has become active meanwhile, as on a busy machine, has fewer rules until it has settled.
  await awaitSettled(lab).catch((error: unknown) => void findings.ready.push(String(error)))
  const after = await lab.footprint()
  result.footprint = { before, after }
  held.push(after)
  findings.growth.push(...growth(before, after), ...rising(held))
}

/** Steps that a fresh plan of an agent would take, once it has had time to take them itself; why there is none, otherwise. */
async function differences(lab: Lab, name: string): Promise<string[]> {
  const until = performance.now() + plannedWithinMs
  for (;;) {
    const steps = await lab.agents.plan(name).catch((error: unknown) => [String(error)])
    if (steps.length === 0 || performance.now() > until) return steps.map((step) => `${name}: ${step}`)
  }
}

/** Times at which more than one router held the VIP, until told to end. */
async function watchOwners(lab: Lab, signal: AbortSignal): Promise<string[]> {
  const found = new Set<string>()
  while (!signal.aborted) {
    const holders = await lab.vipHolders()
    // Routers are asked one by one, so that a VIP that moves meanwhile is seen on both: two owners are still two at the next look.
    if (holders.length > 1 && (await lab.vipHolders()).length > 1) found.add(`${holders.join(' and ')} hold the VIP`)
    await delay(ownerEveryMs)
  }
  return [...found]
}
