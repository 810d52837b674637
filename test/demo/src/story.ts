/** The story of `npm run demo`, told inside the machine: each part does one thing to the system and counts what it cost. */
import { awaitCondition } from '@vpn-gateway/lab'
import { awaitSettled, awaitWeight, exitOf } from './awaiting.ts'
import { innocentLosses, lastReset, resetsOf, unevenness } from './promises.ts'
import { chapter, clients, line, paceOf, progress, seconds, type Stage } from './stage.ts'
import { tellStory } from './teller.ts'

await tellStory({ intervalMs: paceOf }, async (stage) => {
  await spreadOut(stage)
  await gatewayDies(stage)
  await gatewayReturns(stage)
  await gatewayDrains(stage)
  await routerIsCut(stage)
  await inboundArrives(stage)
})

async function spreadOut(stage: Stage): Promise<void> {
  const flows = await stage.mark()
  const report = await stage.watch(5, 'flows settle')
  stage.spread = report.perExit
  const exits = stage.lab.topology.providers.length
  for (const [exit, count] of Object.entries(report.perExit).toSorted(([a], [b]) => a.localeCompare(b))) {
    line(`${exit}  ${'█'.repeat(Math.round((count / flows) * 60))} ${count}`)
  }
  const { lost } = await stage.record('spread', flows, report)
  stage.promise(
    'spread over the exits within ±10 % of even',
    unevenness(report.perExit, exits) <= 0.1 && lost === 0 && flows === stage.flowCount,
  )
}

async function gatewayDies(stage: Stage): Promise<void> {
  chapter(
    'A gateway is killed',
    'Its flows are reset, so that applications connect again at once instead of waiting for minutes. Nobody else notices.',
  )
  const victim = 'gateway-1'
  const exit = exitOf(stage.lab, victim)
  progress('the active router settles')
  await awaitSettled(stage.lab)
  const flows = await stage.mark()
  const marked = performance.now()
  const before = (await stage.report()).perExit[exit] ?? 0
  // What is known of the flows is timed from the mark, which came a moment before the death.
  const alive = (await stage.lab.faults.killGateway(victim)) - marked
  line(`${victim} is dead; ${before} of ${flows} flows went through it`)
  const report = await stage.watch(6, 'its flows are reset')
  await stage.record('gateway-killed', flows, report)
  const last = lastReset(report, exit, alive)
  const share = resetsOf(report, exit).length
  stage.promise(`all of its ${before} flows were reset`, before > 0 && share === before)
  stage.promise(
    `the last of them after ${last === undefined ? 'never' : seconds(last)}, at most 3 s`,
    (last ?? Infinity) <= 3000,
    true,
  )
  stage.promise('no other flow was lost', innocentLosses(report, exit) === 0)
}

async function gatewayReturns(stage: Stage): Promise<void> {
  chapter('It comes back', 'A new pod with the same address. Flows stay where they are; new ones may use it again.')
  const name = 'gateway-1'
  const flows = await stage.mark()
  progress(`${name} starts`)
  await stage.lab.faults.reviveGateway(name)
  await awaitWeight(stage.lab, name, (weight) => weight > 0)
  const report = await stage.watch(4, `${name} is back in the pool`)
  const { lost } = await stage.record('gateway-returned', flows, report)
  stage.promise('no flow was lost', lost === 0 && flows === stage.flowCount)
}

async function gatewayDrains(stage: Stage): Promise<void> {
  chapter('A gateway drains', 'Before maintenance: weight 0. Its flows go on, new ones avoid it.')
  const name = 'gateway-0'
  const flows = await stage.mark()
  await stage.lab.faults.drain(name)
  await awaitWeight(stage.lab, name, (weight) => weight === 0)
  line(`${name} has weight 0`)
  progress('opening new flows')
  const fresh = await stage.lab.startFlows({ client: clients[0], count: 12, intervalMs: stage.intervalMs })
  const { perExit } = await fresh.report()
  await fresh.stop()
  const report = await stage.watch(4, 'its flows go on')
  const kept = report.perExit[exitOf(stage.lab, name)] ?? 0
  line(`${kept} flows still use it; of 12 new ones ${perExit[exitOf(stage.lab, name)] ?? 0} do`)
  const { lost } = await stage.record('gateway-drained', flows, report)
  stage.promise(
    'no flow was lost, and no new one went there',
    lost === 0 && flows === stage.flowCount && kept > 0 && perExit[exitOf(stage.lab, name)] === undefined,
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
  const cut = await stage.watch(6, 'the standby takes over')
  const entry = await stage.record('router-cut', flows, cut)
  stage.promise('no flow was lost', entry.lost === 0 && flows === stage.flowCount)
  stage.promise(
    `silence of ${seconds(entry.longest_silence_ms)}, at most 1.5 s`,
    entry.longest_silence_ms <= 1500,
    true,
  )

  const again = await stage.mark()
  await stage.lab.faults.healRouter(active)
  line(`${active} is connected again`)
  const healed = await stage.watch(6, 'the two settle who is active')
  const holder = await awaitCondition('one router to hold the VIP', () => stage.lab.activeRouter(), {
    timeoutMs: 15_000,
  })
  line(`${holder} holds the VIP`)
  const { lost } = await stage.record('router-returned', again, healed)
  stage.promise('no flow was lost', lost === 0 && again === stage.flowCount)
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
  stage.events.push({
    event: 'ingress',
    flows: attempts.length,
    lost: failed,
    longest_silence_ms: slowest,
    leaked_packets: await stage.leaks(),
  })
  stage.promise(
    'every exit’s forwarded port reaches the service and is answered',
    attempts.every((attempt) => attempt.status === 'fulfilled' && attempt.value.seenBy === attempt.value.gateway),
  )
}
