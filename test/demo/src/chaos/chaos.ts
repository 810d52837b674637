/**
 * The story of `npm run chaos`, told inside the machine: faults that a seed chose, one or two at a time, with long-lived,
 * short and inbound flows under way. After each round all has to be as it was before the first one.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { INTERNET, awaitCondition, type Flows, type Footprint, type Lab } from '@vpn-gateway/lab'
import { awaitSettled, awaitWeight, exitOf, gatewaysOf, pairOf } from '../awaiting.ts'
import type { ChaosResult } from '../message.ts'
import { chapter, clients, line, paceOf, progress, seconds, type Stage } from '../stage.ts'
import { tellStory } from '../teller.ts'
import type { StoryArguments } from '../story-arguments.ts'
import { isRole, mayLose, nameOf, type Round } from './catalog.ts'
import { deeds } from './deeds.ts'
import { growth } from './growth.ts'
import { addFindings, noFindings, unexcused, type Findings } from './invariants.ts'
import { drawRounds } from './plan.ts'
import { parseTrace, renderTrace } from './trace.ts'

/** Milliseconds within which all agents have to be ready again: emulated, a pod and its agent start in half a minute. */
const readyWithinMs = 120_000
/** Milliseconds within which TCP, which waits twice as long after each try, has to have noticed that its way is there again. */
const heardWithinMs = 90_000
/** Milliseconds within which the kernel has to be as planned; drift that no event tells of is seen every half minute. */
const plannedWithinMs = 60_000
/** Milliseconds between two looks at who holds the VIP, while the rest is looked at. */
const ownerEveryMs = 500
/** No round is shorter, so that a run does not need more of them than this. */
const roundsPerMinute = 12
/** Fresh plans that are made at the same time, each by a process of its own. */
const plansAtOnce = 2
/** Inbound connections, which the exits take in turn. */
const inboundFlows = 6

interface Run {
  stage: Stage
  /** Short connections of each client. */
  brief: readonly Flows[]
  /** What the system held after warming up. */
  before: Footprint | undefined
  result: ChaosResult
}

await tellStory({ intervalMs: paceOf, udpShare: 0.25 }, async (stage, told) => {
  const run = await begin(stage, told)
  try {
    await playAll(run, told)
  } catch (error) {
    line(error instanceof Error ? error.message : String(error))
    stage.promise('every fault could be done and undone', false)
  }
  await Promise.all(run.brief.map((flows) => flows.stop()))
  conclude(run)
})

/** Plays round after round until time is up, all are played, or the system has not recovered. */
async function playAll(run: Run, told: StoryArguments): Promise<void> {
  const { result } = run
  const rounds = await roundsOf(told)
  const began = performance.now()
  const end = told.replay === undefined ? began + told.minutes * 60_000 : Number.POSITIVE_INFINITY
  for (const [index, round] of rounds.entries()) {
    if (performance.now() >= end) return
    result.trace.push(round)
    const at = (performance.now() - began) / 1000
    line(`round ${index + 1} at ${Math.round(at)} s: ${round.map(describe).join('; ')}`)
    const findings = await play(run, round, at)
    addFindings(result.invariants, `round ${index + 1}, ${round.map(nameOf).join(' + ')}`, findings)
    for (const problem of Object.values(findings).flat()) line(`✘ ${problem}`)
    if (findings.ready.length > 0 || findings.owner.length > 0) {
      line('the system has not recovered: what came after this would show nothing')
      return
    }
  }
}

/** Opens what the stage does not, warms up, and looks at everything once before anything happens. */
async function begin(stage: Stage, { seed, replay }: StoryArguments): Promise<Run> {
  const { lab } = stage
  const result: ChaosResult = { ...(replay === undefined ? { seed } : {}), invariants: [], trace: [] }
  stage.chaos = result
  progress('opening inbound connections')
  stage.flows.push(await openInbound(lab, stage.intervalMs))
  stage.flowCount += inboundFlows
  const brief = await Promise.all(
    clients.map((client) => lab.startFlows({ client, count: 1, intervalMs: 500, brief: true })),
  )
  const run: Run = { stage, brief, before: undefined, result }
  chapter(
    replay === undefined ? `Chaos, seed ${seed}` : `Chaos, as in ${replay}`,
    'Faults of routers, gateways, nodes and networks, one or two at a time. After each all must be as before the first; beside the long-lived flows there are short connections of both clients and connections to the forwarded port.',
  )
  progress('looking at everything before anything happens')
  await stage.mark()
  const findings = noFindings()
  await settle(run, findings)
  await inspect(run, findings)
  addFindings(result.invariants, 'before any fault', findings)
  const problems = Object.values(findings).flat()
  if (problems.length > 0) throw new Error(`before any fault: ${problems.join('; ')}`)
  run.before = await lab.footprint()
  result.footprint = { before: run.before, after: run.before }
  return run
}

/** Connections from the Internet host to the ports that the providers forward. */
async function openInbound(lab: Lab, intervalMs: number): Promise<Flows> {
  const forward = lab.state.forwards.find(({ protocol }) => protocol !== 'udp')
  if (forward === undefined) throw new Error('the system file forwards no TCP port')
  const to = { hosts: lab.topology.providers.map(({ exit }) => exit), port: forward.port }
  return lab.startFlows({ client: INTERNET, count: inboundFlows, intervalMs, to })
}

async function roundsOf({ seed, minutes, replay }: StoryArguments): Promise<Round[]> {
  if (replay !== undefined) return parseTrace(await readFile(replay, 'utf8'), replay)
  return drawRounds(seed, minutes * roundsPerMinute)
}

const describe = (fault: Round[number]): string => {
  const after = fault.afterMs > 0 ? ` after ${seconds(fault.afterMs)}` : ''
  return `${nameOf(fault)}${after} for ${seconds(fault.forMs)}`
}

/** Does and undoes the faults of a round, waits until all has settled, and looks. */
async function play(run: Run, round: Round, at: number): Promise<Findings> {
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

/** Waits, each time with a bound, until everything works as before; what does not is found. */
async function settle({ stage }: Run, findings: Findings): Promise<void> {
  const { lab } = stage
  const found = (problems: string[]) => (error: unknown) =>
    void problems.push(error instanceof Error ? error.message : String(error))
  progress('every agent gets ready again')
  await Promise.all(
    lab.agents.names.map((name) => lab.agents.awaitReady(name, readyWithinMs).catch(found(findings.ready))),
  )
  progress('one router alone is active')
  await pairOf(lab).catch(found(findings.owner))
  await awaitSettled(lab).catch(found(findings.ready))
  progress('every gateway is in service')
  for (const name of gatewaysOf(lab)) {
    await awaitWeight(lab, name, (weight) => weight === 100).catch(found(findings.ready))
  }
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
async function inspect(run: Run, findings: Findings): Promise<void> {
  const { stage, brief, before, result } = run
  const { lab } = stage
  progress('asking for fresh plans')
  await Promise.all(brief.map((flows) => flows.mark()))
  const looking = new AbortController()
  const owners = watchOwners(lab, looking.signal)
  try {
    const next = lab.agents.names.values()
    const worker = async () => {
      for (const name of next) findings.plan.push(...(await differences(lab, name)))
    }
    await Promise.all(Array.from({ length: plansAtOnce }, worker))
  } finally {
    looking.abort()
  }
  findings.owner.push(...(await owners))
  for (const flows of brief) {
    const { answers, resets } = await flows.report()
    const errors = [...new Set(resets.map(({ error }) => error))].join(', ')
    if (resets.length > 0) findings.connections.push(`${resets.length} of ${flows.client} failed: ${errors}`)
    if (answers === 0) findings.connections.push(`${flows.client} got no answer`)
  }
  if (before === undefined) return
  progress('measuring what the system holds')
  const after = await lab.footprint()
  result.footprint = { before, after }
  findings.growth.push(...growth(before, after))
}

/** Steps that a fresh plan of an agent would take, once it has had time to take them itself. */
async function differences(lab: Lab, name: string): Promise<string[]> {
  const until = performance.now() + plannedWithinMs
  for (;;) {
    const steps = await lab.agents.plan(name)
    if (steps.length === 0 || performance.now() > until) return steps.map((step) => `${name}: ${step}`)
  }
}

/** Times at which more than one router held the VIP, until told to end. */
async function watchOwners(lab: Lab, signal: AbortSignal): Promise<string[]> {
  const found = new Set<string>()
  while (!signal.aborted) {
    const holders = await lab.vipHolders()
    if (holders.length > 1) found.add(`${holders.join(' and ')} hold the VIP`)
    await delay(ownerEveryMs)
  }
  return [...found]
}

/** Tells each invariant as a promise and, where one was broken, how to play the same again. */
function conclude({ stage, result }: Run): void {
  chapter(`${result.trace.length} rounds`, 'What had to hold after each of them, and before the first.')
  for (const { name, looks, broken } of result.invariants) {
    stage.promise(`${name} (looked at ${looks} times)`, broken.length === 0)
    for (const problem of broken) line(problem)
  }
  if (stage.broken() === 0) return
  if (result.seed !== undefined) line(`seed ${result.seed}`)
  line('trace:')
  for (const each of renderTrace(result.trace).trimEnd().split('\n')) line(each)
}
