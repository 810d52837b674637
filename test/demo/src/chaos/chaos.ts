/**
 * The story of `npm run chaos`, told inside the machine: faults that a seed chose, one or two at a time, with long-lived,
 * short and inbound flows under way. After each round all has to be as it was before the first one.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { INTERNET, defaultSystemFile, type Flows, type Lab } from '@vpn-gateway/lab'
import type { ChaosResult } from '../message.ts'
import { chapter, clients, line, paceOf, progress, seconds, type Stage } from '../stage.ts'
import type { StoryArguments } from '../story-arguments.ts'
import { serviceEnd, withForward } from '../system-text.ts'
import { tellStory } from '../teller.ts'
import { nameOf, type Round } from './catalog.ts'
import { inspect, settle, type Run } from './inspect.ts'
import { addFindings, noFindings } from './invariants.ts'
import { drawRounds } from './plan.ts'
import { playRound } from './round.ts'
import { parseTrace, renderTrace } from './trace.ts'

/** No round is shorter, so that a run does not need more of them than this. */
const roundsPerMinute = 12
/** Flows from the Internet, which the exits take in turn. */
const inboundFlows = { tcp: 6, udp: 3 }
const protocols = ['tcp', 'udp'] as const

await tellStory({ intervalMs: paceOf, udpShare: 0.25, systemFile: await writeSystemFile() }, async (stage, told) => {
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
    const findings = await playRound(run, round, at)
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
  progress('opening inbound flows')
  for (const protocol of protocols) {
    stage.flows.push(await openInbound(lab, protocol, stage.intervalMs))
    stage.flowCount += inboundFlows[protocol]
  }
  const brief = await Promise.all(
    clients.flatMap((client) =>
      protocols.map((protocol) => lab.startFlows({ client, protocol, count: 1, intervalMs: 1000, brief: true })),
    ),
  )
  const run: Run = { stage, brief, held: [], result }
  chapter(
    replay === undefined ? `Chaos, seed ${seed}` : `Chaos, as in ${replay}`,
    'Faults of routers, gateways, nodes and networks, one or two at a time. After each all must be as before the first; beside the long-lived flows there are short ones of both clients and some to the forwarded ports.',
  )
  progress('looking at everything before anything happens')
  await stage.mark()
  const findings = noFindings()
  await settle(run, findings)
  await inspect(run, findings)
  addFindings(result.invariants, 'before any fault', findings)
  const problems = Object.values(findings).flat()
  if (problems.length > 0) throw new Error(`before any fault: ${problems.join('; ')}`)
  const before = await lab.footprint()
  run.held.push(before)
  result.footprint = { before, after: before }
  return run
}

/** The published system file with a forwarded UDP port beside the TCP one. */
async function writeSystemFile(): Promise<string> {
  const file = join(tmpdir(), 'vpn-gateway-chaos.yaml')
  const text = await readFile(defaultSystemFile('full'), 'utf8')
  await writeFile(file, withForward(text, { name: 'chaos', protocol: 'udp', port: 45_679, to: serviceEnd }))
  return file
}

/** Flows from the Internet host to the port of a protocol that the providers forward. */
async function openInbound(lab: Lab, protocol: 'tcp' | 'udp', intervalMs: number): Promise<Flows> {
  const forward = lab.state.forwards.find((each) => each.protocol === protocol || each.protocol === 'both')
  if (forward === undefined) throw new Error(`the system file forwards no port of ${protocol}`)
  const to = { hosts: lab.topology.providers.map(({ exit }) => exit), port: forward.port }
  return lab.startFlows({ client: INTERNET, protocol, count: inboundFlows[protocol], intervalMs, to })
}

function describe(fault: Round[number]): string {
  const after = fault.afterMs > 0 ? ` after ${seconds(fault.afterMs)}` : ''
  return `${nameOf(fault)}${after} for ${seconds(fault.forMs)}`
}

async function roundsOf({ seed, minutes, replay }: StoryArguments): Promise<Round[]> {
  if (replay !== undefined) return parseTrace(await readFile(replay, 'utf8'), replay)
  return drawRounds(seed, minutes * roundsPerMinute)
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
  if (result.trace.length === 0) return
  line('trace:')
  for (const each of renderTrace(result.trace).trimEnd().split('\n')) line(each)
}
