/** The story of `npm run demo`, told inside the machine: each part does one thing to the system and counts what it cost. */
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  awaitCondition,
  bringUp,
  sumReports,
  takeDown,
  type Capture,
  type FlowReport,
  type Flows,
  type Lab,
} from '@vpn-gateway/lab'
import { parseIpvs } from '@vpn-gateway/kernel'
import type { DemoEvent, DemoResult, Message } from './message.ts'
import { innocentLosses, lastReset, unevenness } from './promises.ts'

const { values } = parseArgs({ options: { flows: { type: 'string', default: '300' } } })
const flowCount = Number(values.flows)
/** Milliseconds between two lines of one flow. Flows take turns, so that hundreds of them look every few milliseconds. */
const interval = 1000
/** Weight that a healthy gateway has unless the system file says otherwise. */
const clients = ['client-0', 'client-1']

const tell = (message: Message) => void process.stdout.write(`${JSON.stringify(message)}\n`)
const chapter = (title: string, text: string) => tell({ type: 'chapter', title, text })
const progress = (text: string) => tell({ type: 'progress', text })
const line = (text: string) => tell({ type: 'line', text })
const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(1)} s`

const events: DemoEvent[] = []
let broken = 0

function promise(text: string, held: boolean): void {
  if (!held) broken += 1
  tell({ type: 'promise', text, held })
}

/** The lab with flows running through it, and what the story needs of it. */
interface Stage {
  lab: Lab
  flows: Flows[]
  capture: Capture
  /** Starts a new observation; what was lost before is opened again. */
  mark(): Promise<number>
  report(): Promise<FlowReport>
  /** Leaks since the last call. */
  leaks(): Promise<number>
}

async function main(): Promise<void> {
  chapter(
    'The system comes up',
    'Two nodes, three VPN providers, an internet: each a network namespace on a kernel of its own.',
  )
  const lab = await bringUp({ onStep: (step, elapsed) => line(`${seconds(elapsed).padStart(7)}  ${step}`) })
  const capture = await lab.startCapture()
  await controlled(lab, capture)
  const stage = await openStage(lab, capture)
  const spread = await spreadOut(stage)
  await gatewayDies(stage)
  await gatewayReturns(stage)
  await gatewayDrains(stage)
  await routerIsCut(stage)
  await inboundArrives(stage)
  progress('ending the flows')
  await Promise.all(stage.flows.map((flow) => flow.stop()))
  const leaked = (await capture.count()).total
  if (leaked > 0) for (const sample of await capture.samples()) line(`leaked: ${sample}`)
  await capture.stop()
  lab.close()
  await takeDown()
  promise('not one packet outside a tunnel', events.every((event) => event.leaked_packets === 0) && leaked === 0)
  const result: DemoResult = { events, spread, ok: broken === 0 }
  tell({ type: 'result', result })
}

async function controlled(lab: Lab, capture: Capture): Promise<void> {
  chapter(
    'A capture that would see a leak',
    "Watched: what leaves any pod's eth0 that is neither WireGuard, DNS nor cluster traffic, and what reaches the internet from anyone but the exits.",
  )
  progress('leaking one packet on purpose')
  await capture.control(clients[0] ?? 'client-0')
  line(
    `one packet leaked on purpose from ${lab.topology.pods.find((pod) => pod.kind === 'client')?.name}: seen at both places, forgotten again`,
  )
}

async function openStage(lab: Lab, capture: Capture): Promise<Stage> {
  chapter(
    `${flowCount} flows`,
    `Two clients hold long-lived TCP connections to the internet and send a line on each every ${interval} ms. They have routes, nothing else.`,
  )
  progress('opening the flows')
  const share = Math.ceil(flowCount / clients.length)
  const flows = await Promise.all(
    clients.map((client, index) =>
      lab.startFlows({ client, count: Math.min(share, flowCount - index * share), intervalMs: interval }),
    ),
  )
  let leakedBefore = 0
  return {
    lab,
    flows,
    capture,
    async mark() {
      await Promise.all(flows.map((flow) => flow.mark()))
      return sumReports(await Promise.all(flows.map((flow) => flow.report()))).alive
    },
    report: async () => sumReports(await Promise.all(flows.map((flow) => flow.report()))),
    async leaks() {
      const { total } = await capture.count()
      const fresh = total - leakedBefore
      leakedBefore = total
      return fresh
    },
  }
}

/** Lets time pass under observation, showing how the flows are. */
async function watch(stage: Stage, forSeconds: number, what: string): Promise<FlowReport> {
  const end = performance.now() + forSeconds * 1000
  let report = await stage.report()
  while (performance.now() < end) {
    progress(`${what}: ${report.alive} flows alive, ${report.lost} lost, ${report.stalled} silent`)
    await delay(Math.min(1000, Math.max(0, end - performance.now())))
    report = await stage.report()
  }
  return report
}

async function record(stage: Stage, event: DemoEvent['event'], flows: number, report: FlowReport): Promise<DemoEvent> {
  const entry: DemoEvent = {
    event,
    flows,
    lost: report.lost + report.stalled,
    longest_silence_ms: Math.round(report.longestSilenceMs),
    leaked_packets: await stage.leaks(),
  }
  events.push(entry)
  line(
    `${flows} flows, ${entry.lost} lost, longest silence of the others ${seconds(entry.longest_silence_ms)}, ${entry.leaked_packets} packets leaked`,
  )
  return entry
}

async function refill(stage: Stage): Promise<void> {
  progress('the applications connect again')
  const results = await Promise.all(stage.flows.map((flow) => flow.refill()))
  const opened = results.reduce((sum, result) => sum + result.opened, 0)
  if (opened > 0) line(`${opened} connected again at once`)
}

async function spreadOut(stage: Stage): Promise<Record<string, number>> {
  const flows = await stage.mark()
  const report = await watch(stage, 5, 'flows settle')
  const exits = stage.lab.topology.providers.length
  for (const [exit, count] of Object.entries(report.perExit).toSorted(([a], [b]) => a.localeCompare(b))) {
    line(`${exit}  ${'█'.repeat(Math.round((count / flows) * 60))} ${count}`)
  }
  const { lost } = await record(stage, 'spread', flows, report)
  promise('spread over the exits within ±10 % of even', unevenness(report.perExit, exits) <= 0.1 && lost === 0)
  return report.perExit
}

async function gatewayDies(stage: Stage): Promise<void> {
  chapter(
    'A gateway is killed',
    'Its flows are reset, so that applications connect again at once instead of waiting for minutes. Nobody else notices.',
  )
  const victim = 'gateway-1'
  const exit = exitOf(stage.lab, victim)
  const flows = await stage.mark()
  const before = (await stage.report()).perExit[exit] ?? 0
  await stage.lab.faults.killGateway(victim)
  line(`${victim} is dead; ${before} of ${flows} flows went through it`)
  const report = await watch(stage, 6, 'its flows are reset')
  await record(stage, 'gateway-killed', flows, report)
  const last = lastReset(report, exit)
  promise(
    `its ${before} flows were reset within 3 s (the last after ${last === undefined ? 'never' : seconds(last)})`,
    report.resets.length >= before && last !== undefined && last <= 3000,
  )
  promise('no other flow was lost', innocentLosses(report, exit) === 0)
  await refill(stage)
}

async function gatewayReturns(stage: Stage): Promise<void> {
  chapter('It comes back', 'A new pod with the same address. Flows stay where they are; new ones may use it again.')
  const name = 'gateway-1'
  const flows = await stage.mark()
  progress(`${name} starts`)
  await stage.lab.faults.reviveGateway(name)
  await awaitWeight(stage.lab, name, (weight) => weight > 0)
  const report = await watch(stage, 4, `${name} is back in the pool`)
  const { lost } = await record(stage, 'gateway-returned', flows, report)
  promise('no flow was lost', lost === 0)
}

async function gatewayDrains(stage: Stage): Promise<void> {
  chapter('A gateway drains', 'Before maintenance: weight 0. Its flows go on, new ones avoid it.')
  const name = 'gateway-0'
  const flows = await stage.mark()
  await stage.lab.faults.drain(name)
  await awaitWeight(stage.lab, name, (weight) => weight === 0)
  line(`${name} has weight 0`)
  progress('opening new flows')
  const fresh = await stage.lab.startFlows({ client: clients[0] ?? 'client-0', count: 12, intervalMs: interval })
  const { perExit } = await fresh.report()
  await fresh.stop()
  const report = await watch(stage, 4, 'its flows go on')
  const kept = report.perExit[exitOf(stage.lab, name)] ?? 0
  line(`${kept} flows still use it; of 12 new ones ${perExit[exitOf(stage.lab, name)] ?? 0} do`)
  const { lost } = await record(stage, 'gateway-drained', flows, report)
  promise(
    'no flow was lost, and no new one went there',
    lost === 0 && kept > 0 && perExit[exitOf(stage.lab, name)] === undefined,
  )
  await stage.lab.faults.undrain(name)
  await awaitWeight(stage.lab, name, (weight) => weight > 0)
}

async function routerIsCut(stage: Stage): Promise<void> {
  chapter(
    'The active router is cut off',
    'Its switch ports drop everything: no goodbye, no lost carrier. The standby has every flow already.',
  )
  const active = await awaitCondition('one router to hold the VIP', () => stage.lab.activeRouter(), {
    timeoutMs: 10_000,
  })
  const flows = await stage.mark()
  await stage.lab.faults.cutRouter(active)
  line(`${active} is cut off`)
  const cut = await watch(stage, 6, 'the standby takes over')
  const entry = await record(stage, 'router-cut', flows, cut)
  promise(
    `no flow was lost, silence of ${seconds(entry.longest_silence_ms)} at most 1.5 s`,
    entry.lost === 0 && entry.longest_silence_ms <= 1500,
  )

  const again = await stage.mark()
  await stage.lab.faults.healRouter(active)
  line(`${active} is connected again`)
  const healed = await watch(stage, 6, 'the two settle who is active')
  const holder = await awaitCondition('one router to hold the VIP', () => stage.lab.activeRouter(), {
    timeoutMs: 15_000,
  })
  line(`${holder} holds the VIP`)
  const { lost } = await record(stage, 'router-returned', again, healed)
  promise('no flow was lost', lost === 0)
}

async function inboundArrives(stage: Stage): Promise<void> {
  chapter(
    'An inbound connection',
    'The provider forwards a port to its gateway; the gateway sends it to a fixed service address, and the reply back into the tunnel.',
  )
  const attempts = await Promise.allSettled(
    stage.lab.topology.providers.map((provider) => stage.lab.inbound(provider.name)),
  )
  let slowest = 0
  for (const attempt of attempts) {
    if (attempt.status === 'rejected') {
      line(String(attempt.reason instanceof Error ? attempt.reason.message : attempt.reason))
      continue
    }
    slowest = Math.max(slowest, attempt.value.ms)
    line(
      `${attempt.value.to} answered in ${attempt.value.ms} ms; the service saw ${attempt.value.seenBy}, which is the gateway's cluster address`,
    )
  }
  const failed = attempts.filter((attempt) => attempt.status === 'rejected').length
  events.push({
    event: 'ingress',
    flows: attempts.length,
    lost: failed,
    longest_silence_ms: slowest,
    leaked_packets: await stage.leaks(),
  })
  promise(
    'every exit’s forwarded port reaches the service and is answered',
    attempts.every((attempt) => attempt.status === 'fulfilled' && attempt.value.seenBy === attempt.value.gateway),
  )
}

function exitOf(lab: Lab, gateway: string): string {
  return lab.topology.providers.find((provider) => provider.gateway === gateway)?.exit ?? ''
}

/** Waits until the active router's IPVS gives a gateway a weight that is wanted; a gateway that is not listed has none. */
async function awaitWeight(lab: Lab, gateway: string, wanted: (weight: number) => boolean): Promise<void> {
  const address = /inet ([\d.]+)\//.exec(
    await lab.exec(gateway, ['ip', '-4', '-o', 'address', 'show', 'dev', 'net1']),
  )?.[1]
  await awaitCondition(
    `${gateway} (${address}) to get another weight in IPVS`,
    async () => {
      const router = await lab.activeRouter()
      if (router === undefined) return undefined
      const services = parseIpvs(await lab.exec(router, ['cat', '/proc/net/ip_vs']))
      const server = services.flatMap((service) => service.realServers).find((item) => item.address === address)
      return server !== undefined && wanted(server.weight) ? true : undefined
    },
    { timeoutMs: 30_000, intervalMs: 250 },
  )
}

try {
  await main()
} catch (error) {
  tell({ type: 'line', text: error instanceof Error ? error.message : String(error) })
  tell({ type: 'result', result: { events, spread: {}, ok: false } })
  process.exitCode = 1
}
// What a failed step left open must not keep the story from ending; standard output has been written (a pipe is synchronous).
process.exit()
