/**
 * The story of `npm run failover`, told inside the machine: everything that can happen to routers, and what happens to
 * gateways while routers have to cope with it, with TCP and UDP flows under way. Each scenario ends with both routers
 * ready, so that the next one starts from the same place.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { awaitCondition, sumReports, type FlowReport, type Flows, type RouterProcess } from '@vpn-gateway/lab'
import {
  addressOf,
  awaitKnown,
  awaitOut,
  awaitSettled,
  awaitTakeover,
  awaitWeight,
  exitOf,
  gatewaysOf,
  pairOf,
  routersOf,
} from './awaiting.ts'
import { chapter, clients, line, paceOf, progress, seconds, type Stage } from './stage.ts'
import { withWeight } from './system-text.ts'
import { chosenBy, tellStory } from './teller.ts'

/** Seconds for what has no event of its own: three lines on every flow. */
const observed = ({ intervalMs: between }: Stage): number => (3 * between) / 1000 + 1

/** Seconds that a VIP lasts which nobody renews, as router-agent lends it. */
const vipLifetime = 8

interface Scenario {
  name: string
  title: string
  text: string
  play(stage: Stage): Promise<void>
}

/** Waits for a router to take the VIP over from another. */
async function takenOver({ lab }: Stage, from: string): Promise<void> {
  const began = performance.now()
  const holder = await awaitTakeover(lab, from)
  line(`${holder} holds the VIP after ${seconds(performance.now() - began)}`)
}

/** Waits until that is the only one. */
async function alone(stage: Stage): Promise<void> {
  const began = performance.now()
  const { active } = await pairOf(stage.lab)
  const later = performance.now() - began
  line(`${active} alone holds it, ${seconds(later)} later`)
  stage.promise('no second router held it for more than ten seconds', later <= 10_000, true)
}

/** Flows begin, something is done to the system, nobody may notice. */
async function unnoticed(stage: Stage, name: string, act: () => Promise<void>): Promise<FlowReport> {
  const flows = await stage.mark()
  await act()
  const report = await stage.watch(observed(stage), 'watching the flows')
  const { lost } = await stage.record(name, flows, report)
  const moved = Object.keys(report.perExit).filter((exit) => exit.includes('+'))
  stage.promise(
    'no flow was lost, none changed its exit',
    lost === 0 && flows === stage.flowCount && moved.length === 0,
  )
  return report
}

/** Flows in which only the server speaks: what it sends passes a router that was told the connection, and no other. */
async function serversSpeak(stage: Stage): Promise<{ wentOn: () => Promise<void>; stop: () => Promise<void> }> {
  const { lab, intervalMs: between } = stage
  const count = 10
  const flows = await lab.startFlows({ client: clients[0], count, intervalMs: between, push: true })
  // A router that dies in silence takes with it what has only just begun.
  await awaitKnown(lab, count)
  return {
    async wentOn() {
      const { alive, stalled, lost, answers } = await flows.report()
      const went = alive === count && stalled === 0 && lost === 0 && answers > 0
      stage.promise(
        `${count} connections in which only the server speaks went on${
          went ? '' : `: ${alive} alive, ${stalled} of them silent, ${lost} lost, ${answers} lines`
        }`,
        went,
      )
      await flows.mark()
    },
    stop: () => flows.stop(),
  }
}

/** Waits until all is as before a scenario. */
async function recovered({ lab }: Stage): Promise<void> {
  progress('both routers get ready again')
  await Promise.all(routersOf(lab).map((name) => lab.agents.awaitReady(name)))
  await pairOf(lab)
}

/** A process killed with -9, and the router that it belongs to. */
const daemonKilled = (which: RouterProcess, what: string): Scenario => ({
  name: `${which}-killed`,
  title: `${what} is killed with -9`,
  text: 'On the active router. Its supervisor starts it anew; the kernel carries the packets meanwhile.',
  async play(stage) {
    const { active } = await pairOf(stage.lab)
    await unnoticed(stage, this.name, async () => stage.lab.faults.signalRouter(active, 'SIGKILL', [which]))
  },
})

/** A process stopped that the VIP depends on, and the router that it belongs to. */
const stoppedAlone = (which: RouterProcess, title: string, text: string): Scenario => ({
  name: `${which}-stopped`,
  title,
  text,
  async play(stage) {
    const { active } = await pairOf(stage.lab)
    await unnoticed(stage, this.name, async () => {
      stage.lab.faults.signalRouter(active, 'SIGSTOP', [which])
      await takenOver(stage, active)
      await alone(stage)
      stage.lab.faults.signalRouter(active, 'SIGCONT', [which])
    })
  },
})

/** How many flows are many, and milliseconds between two lines of each: 250 lines a second in all. */
const crowd = { flows: 5000, udp: 1250, intervalMs: 20_000 }

/** Opens many flows, beside those that are there. */
async function openCrowd({ lab }: Stage): Promise<Flows[]> {
  const { flows, udp, intervalMs: pace } = crowd
  const kinds = [
    ['tcp', flows - udp],
    ['udp', udp],
  ] as const
  return Promise.all(
    clients.flatMap((client) =>
      kinds.map(([protocol, count]) =>
        lab.startFlows({ client, protocol, count: count / clients.length, intervalMs: pace }),
      ),
    ),
  )
}

/** The same as `unnoticed` for many flows, whose lines are far apart. */
async function crowdUnnoticed(
  stage: Stage,
  name: string,
  flows: readonly Flows[],
  act: () => Promise<void>,
): Promise<void> {
  const reportAll = async () => sumReports(await Promise.all(flows.map((each) => each.report())))
  await Promise.all(flows.map((each) => each.mark()))
  await act()
  const end = performance.now() + 3 * crowd.intervalMs + 1000
  let report = await reportAll()
  while (performance.now() < end) {
    progress(`watching ${crowd.flows} flows: ${report.alive} alive, ${report.lost} lost, ${report.stalled} silent`)
    await delay(Math.min(5000, Math.max(0, end - performance.now())))
    report = await reportAll()
  }
  const { lost } = await stage.record(name, crowd.flows, report)
  const moved = Object.keys(report.perExit).filter((exit) => exit.includes('+'))
  stage.promise(
    'no flow was lost, none changed its exit',
    lost === 0 && report.alive === crowd.flows && moved.length === 0,
  )
}

const scenarios: readonly Scenario[] = [
  {
    name: 'router-cut',
    title: 'The active router is cut off, comes back, and has to take over',
    text: 'Its switch ports drop everything: no goodbye, no lost carrier. Fifteen seconds after it is ready again the other one is cut off.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      const pushed = await serversSpeak(stage)
      await unnoticed(stage, 'router-cut', async () => {
        await stage.lab.faults.cutRouter(active)
        await takenOver(stage, active)
      })
      await pushed.wentOn()
      await unnoticed(stage, 'router-healed', async () => {
        await stage.lab.faults.healRouter(active)
        await recovered(stage)
      })
      await pushed.wentOn()
      progress('fifteen seconds')
      await delay(15_000)
      const { active: other } = await pairOf(stage.lab)
      await unnoticed(stage, 'returned-takeover', async () => {
        await stage.lab.faults.cutRouter(other)
        await takenOver(stage, other)
      })
      await pushed.wentOn()
      await pushed.stop()
      await stage.lab.faults.healRouter(other)
    },
  },
  {
    name: 'router-killed',
    title: 'All processes of the active router are killed with -9',
    text: 'What they set stays in the pod: routes, rules, and the VIP until its lifetime ends.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await unnoticed(stage, this.name, async () => {
        stage.lab.faults.signalRouter(active, 'SIGKILL')
        await stage.lab.agents.kill(active)
        await takenOver(stage, active)
        await alone(stage)
        stage.lab.agents.start(active)
      })
    },
  },
  {
    name: 'router-stopped',
    title: 'All processes of the active router are stopped, as by SIGSTOP',
    text: 'A pod that is frozen: it neither answers nor says goodbye, and goes on later where it was.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await unnoticed(stage, 'router-stopped', async () => {
        stage.lab.faults.signalRouter(active, 'SIGSTOP')
        await takenOver(stage, active)
        await alone(stage)
      })
      await unnoticed(stage, 'router-continued', async () => {
        stage.lab.faults.signalRouter(active, 'SIGCONT')
      })
    },
  },
  {
    name: 'vrrp-stopped',
    title: "keepalived's VRRP process alone is stopped",
    text: 'It sends no adverts but holds the VIP: the agent sees that it does nothing and gives the VIP up.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await unnoticed(stage, this.name, async () => {
        stage.lab.faults.signalRouter(active, 'SIGSTOP', ['vrrp'])
        await takenOver(stage, active)
        await alone(stage)
        stage.lab.faults.signalRouter(active, 'SIGCONT', ['vrrp'])
      })
    },
  },
  {
    name: 'agent-stopped',
    title: 'The active router’s agent alone is stopped',
    text: 'Nobody renews the VIP: it goes with its lifetime, and the routers’ keepalived elect anew. Whoever wins, one router holds it.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await unnoticed(stage, this.name, async () => {
        stage.lab.faults.signalRouter(active, 'SIGSTOP', ['agent'])
        // No event tells of it: who loses a VIP and is elected again has it back within milliseconds.
        progress('two lifetimes of the VIP')
        await delay(2 * vipLifetime * 1000)
        await alone(stage)
        stage.lab.faults.signalRouter(active, 'SIGCONT', ['agent'])
      })
    },
  },
  stoppedAlone(
    'keepalived',
    'keepalived’s first process alone is stopped',
    'It would start nothing anew and read no changed file: the agent hears nothing of it and steps back.',
  ),
  {
    name: 'agent-killed',
    title: 'The active router’s agent is killed with -9',
    text: 'keepalived and conntrackd go on; the next agent takes them over.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await unnoticed(stage, this.name, async () => {
        await stage.lab.agents.kill(active)
        stage.lab.agents.start(active)
      })
    },
  },
  daemonKilled('keepalived', 'keepalived'),
  daemonKilled('vrrp', "keepalived's VRRP process"),
  daemonKilled('checkers', "keepalived's health checker"),
  daemonKilled('conntrackd', 'conntrackd'),
  {
    name: 'rolling-restart',
    title: 'Both routers are restarted, one after the other',
    text: 'As in an upgrade: SIGTERM, a new agent, ready, then the next.',
    async play(stage) {
      const { active, standby } = await pairOf(stage.lab)
      for (const name of [standby, active]) {
        await unnoticed(stage, name === standby ? 'standby-restarted' : 'active-restarted', async () => {
          await stage.lab.agents.stop(name)
          stage.lab.agents.start(name)
          await stage.lab.agents.awaitReady(name)
        })
      }
    },
  },
  {
    name: 'router-network-cut',
    title: 'The router network alone is cut',
    text: 'Both routers live and do not hear each other’s adverts: both become master. They ask each other on the gateway network, and one steps back.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await unnoticed(stage, 'router-network-cut', async () => {
        await stage.lab.faults.cutInterface(active, 'net2')
        await awaitCondition(
          'both routers to hold the VIP',
          async () => (await stage.lab.vipHolders()).length > 1 || undefined,
          {
            timeoutMs: 20_000,
            intervalMs: 20,
          },
        )
        await alone(stage)
      })
      await unnoticed(stage, 'router-network-healed', async () => {
        await stage.lab.faults.healInterface(active, 'net2')
        await recovered(stage)
      })
    },
  },
  {
    name: 'gateway-network-cut',
    title: 'The active router loses the gateway network',
    text: 'It still sends adverts, but sees no gateway: it steps back for the one that does.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      const pushed = await serversSpeak(stage)
      await unnoticed(stage, 'gateway-network-cut', async () => {
        await stage.lab.faults.cutInterface(active, 'net1')
        await takenOver(stage, active)
        await alone(stage)
      })
      await pushed.wentOn()
      await unnoticed(stage, 'gateway-network-healed', async () => {
        await stage.lab.faults.healInterface(active, 'net1')
        await recovered(stage)
      })
      await pushed.wentOn()
      await pushed.stop()
    },
  },
  {
    name: 'standby-blind',
    title: 'A standby that was active before loses the gateway network',
    text: 'It takes its gateways out and forgets every flow; the active router must not.',
    async play(stage) {
      const { lab } = stage
      const { active: before } = await pairOf(lab)
      await lab.agents.stop(before)
      await takenOver(stage, before)
      lab.agents.start(before)
      await recovered(stage)
      const { standby } = await pairOf(lab)
      const pushed = await serversSpeak(stage)
      await unnoticed(stage, this.name, async () => {
        await lab.faults.cutInterface(standby, 'net1')
        await awaitCondition(
          `${standby} to see no gateway`,
          async () => ((await lab.exec(standby, ['cat', '/proc/net/ip_vs'])).includes('Route') ? undefined : true),
          { timeoutMs: 30_000 },
        )
      })
      await pushed.wentOn()
      await lab.faults.healInterface(standby, 'net1')
      await recovered(stage)
      await pushed.wentOn()
      await pushed.stop()
    },
  },
  {
    name: 'late-joiner',
    title: 'A new router joins late and has to take over',
    text: 'The standby’s pod is deleted and made anew. Fifteen seconds after it is ready the active one is cut off.',
    async play(stage) {
      const { active, standby } = await pairOf(stage.lab)
      await unnoticed(stage, 'standby-replaced', async () => {
        await stage.lab.faults.killRouter(standby)
        await stage.lab.faults.reviveRouter(standby)
      })
      progress('fifteen seconds')
      await delay(15_000)
      await unnoticed(stage, 'late-takeover', async () => {
        await stage.lab.faults.cutRouter(active)
        await takenOver(stage, active)
      })
      await stage.lab.faults.healRouter(active)
    },
  },
  {
    name: 'config-reload',
    title: 'The system file changes',
    text: 'A gateway gets three times the weight; keepalived reloads in place on both routers. Then it is as before.',
    async play(stage) {
      const { lab } = stage
      await pairOf(lab)
      const [name = ''] = gatewaysOf(lab)
      const address = await addressOf(lab, name)
      let before = ''
      await unnoticed(stage, 'config-changed', async () => {
        before = await lab.changeSystem((text) => withWeight(text, address, 300))
        await awaitWeight(lab, name, (weight) => weight === 300)
      })
      await unnoticed(stage, 'config-restored', async () => {
        await lab.changeSystem(() => before)
        await awaitWeight(lab, name, (weight) => weight === 100)
      })
    },
  },
  {
    name: 'checkers-stopped',
    title: "keepalived's health checker alone is stopped",
    text: 'It would leave dead gateways in service: the agent sees that it does nothing and has it started anew. Then a gateway dies.',
    async play(stage) {
      const { lab } = stage
      const { active } = await pairOf(lab)
      const [, victim = ''] = gatewaysOf(lab)
      const address = await addressOf(lab, victim)
      await awaitSettled(lab)
      const flows = await stage.mark()
      lab.faults.signalRouter(active, 'SIGSTOP', ['checkers'])
      const since = await lab.faults.killGateway(victim)
      line(`${victim} is out of service ${seconds((await awaitOut(lab, address)) - since)} after its death`)
      // Their TCP tries less and less often: the reset may be seconds away.
      const report = await awaitCondition(
        'no flow to be silent',
        async () => {
          const seen = await stage.report()
          return seen.stalled === 0 ? seen : undefined
        },
        { timeoutMs: 90_000, intervalMs: 1000 },
      )
      await stage.record(this.name, flows, report)
      const innocent = report.resets.filter((reset) => reset.exit !== exitOf(lab, victim)).length
      stage.promise(`its ${report.resets.length - innocent} flows were reset, no other was lost`, innocent === 0)
      await lab.faults.reviveGateway(victim)
      await awaitWeight(lab, victim, (weight) => weight > 0)
    },
  },
  {
    name: 'gateway-killed',
    title: 'A gateway dies, comes back, and drains',
    text: 'Its flows are reset, those of the others must not notice; neither its return nor its draining costs a flow.',
    async play(stage) {
      const { lab } = stage
      const [, victim = ''] = gatewaysOf(lab)
      const exit = exitOf(lab, victim)
      const address = await addressOf(lab, victim)
      await awaitSettled(lab)
      const flows = await stage.mark()
      const silentSince = await lab.faults.killGateway(victim)
      const outAfter = (await awaitOut(lab, address)) - silentSince
      line(`${victim} is out of service after ${seconds(outAfter)}`)
      stage.promise('that took a second at most', outAfter <= 1000, true)
      const report = await stage.watch(observed(stage), 'watching the flows')
      await stage.record('gateway-killed', flows, report)
      const innocent = report.resets.filter((reset) => reset.exit !== exit).length + report.stalled
      stage.promise(`its ${report.resets.length - innocent} flows were reset, no other was lost`, innocent === 0)
      await unnoticed(stage, 'gateway-returned', async () => {
        await lab.faults.reviveGateway(victim)
        await awaitWeight(lab, victim, (weight) => weight > 0)
      })
      const [drained = ''] = gatewaysOf(lab)
      await unnoticed(stage, 'gateway-drained', async () => {
        await lab.faults.drain(drained)
        await awaitWeight(lab, drained, (weight) => weight === 0)
      })
      await lab.faults.undrain(drained)
      await awaitWeight(lab, drained, (weight) => weight > 0)
    },
  },
  {
    name: 'gateway-flaps',
    title: 'A gateway comes and goes every second',
    text: 'Its flows may be reset; those of the others must not notice.',
    async play(stage) {
      await pairOf(stage.lab)
      await awaitSettled(stage.lab)
      const flows = await stage.mark()
      const { perExit } = await stage.report()
      const held = (name: string) => perExit[exitOf(stage.lab, name)] ?? 0
      // One that died before has few flows left.
      const [victim = ''] = gatewaysOf(stage.lab).toSorted((one, other) => held(other) - held(one))
      const exit = exitOf(stage.lab, victim)
      for (let round = 1; round <= 5; round += 1) {
        progress(`${victim} is cut off, ${round} of 5`)
        await stage.lab.faults.cutInterface(victim, 'net1')
        await delay(1000)
        await stage.lab.faults.healInterface(victim, 'net1')
        await delay(1000)
      }
      const report = await stage.watch(observed(stage), 'watching the flows')
      await stage.record(this.name, flows, report)
      const innocent = report.resets.filter((reset) => reset.exit !== exit).length + report.stalled
      stage.promise(
        `none of the ${flows - held(victim)} flows through other gateways was lost`,
        held(victim) > 0 && innocent === 0,
      )
    },
  },
  {
    name: 'all-gateways-gone',
    title: 'All gateways are gone, and come back',
    text: 'Nothing may leave meanwhile; a client is told so instead of waiting.',
    async play(stage) {
      const { lab } = stage
      await pairOf(lab)
      await awaitSettled(lab)
      const flows = await stage.mark()
      const addresses = await Promise.all(gatewaysOf(lab).map((name) => addressOf(lab, name)))
      const since = performance.now()
      await Promise.all(gatewaysOf(lab).map((name) => lab.faults.cutInterface(name, 'net1')))
      const out = await awaitOut(lab, ...addresses)
      line(`all are out of service after ${seconds(out - since)}`)
      const [client] = clients
      const refusal = await awaitCondition(
        'a new connection to be refused',
        async () => {
          const began = performance.now()
          const script = 'exec 3<>/dev/tcp/203.0.113.10/9000'
          const said = await lab.exec(client, ['bash', '-c', `timeout 1 bash -c '${script}' 2>&1 || true`])
          const now = performance.now()
          return /refused|No route|unreachable/i.test(said) ? { since: now - out, took: now - began } : undefined
        },
        { timeoutMs: 60_000 },
      )
      line(`${seconds(refusal.since)} later a new connection is refused, which takes ${seconds(refusal.took)}`)
      // A router sends a client one ICMP error a second (net.ipv4.icmp_ratelimit), so that UDP flows learn one by one.
      const report = await awaitCondition(
        'all flows to have ended',
        async () => {
          const seen = await stage.report()
          progress(`${seen.alive} flows alive`)
          return seen.alive === 0 ? seen : undefined
        },
        { timeoutMs: 90_000, intervalMs: 1000 },
      )
      const ping = await awaitCondition(
        'a ping to be answered by an error',
        async () => {
          const said = await lab.exec(client, ['bash', '-c', 'ping -c 1 -W 3 203.0.113.10 || true'])
          return /Unreachable|filtered/.exec(said)?.[0]
        },
        { timeoutMs: 60_000 },
      )
      line(`ping says: ${ping}`)
      await stage.record('all-gateways-gone', flows, report)
      const tcp = report.resets.filter(({ error }) => error === 'ECONNRESET').length
      stage.promise(`${tcp} TCP flows were reset`, tcp === stage.tcpFlows)
      await Promise.all(gatewaysOf(lab).map((name) => lab.faults.healInterface(name, 'net1')))
      await recovered(stage)
      progress('flows open again')
      const again = await awaitCondition(
        'all flows to be open again',
        async () => ((await stage.mark()) === stage.flowCount ? stage.flowCount : undefined),
        { timeoutMs: 60_000 },
      )
      const back = await stage.watch(observed(stage), 'watching the flows')
      await stage.record('all-gateways-back', again, back)
    },
  },
  // Last: where many flows end at once, a small machine is busy with that for a while.
  {
    name: 'many-flows',
    title: `${crowd.flows} flows at once`,
    text: `${crowd.udp} of them UDP, beside the others. Once the standby knows them the active router is cut off, and comes back.`,
    async play(stage) {
      const { lab } = stage
      const { active } = await pairOf(lab)
      progress(`opening ${crowd.flows} flows`)
      const began = performance.now()
      const flows = await openCrowd(stage)
      line(`open after ${seconds(performance.now() - began)}`)
      await awaitKnown(lab, crowd.flows)
      await crowdUnnoticed(stage, 'many-flows-cut', flows, async () => {
        await lab.faults.cutRouter(active)
        await takenOver(stage, active)
      })
      await crowdUnnoticed(stage, 'many-flows-healed', flows, async () => {
        await lab.faults.healRouter(active)
        await recovered(stage)
      })
      progress('ending them')
      await Promise.all(flows.map((each) => each.stop()))
    },
  },
]

await tellStory({ intervalMs: paceOf, udpShare: 0.25, scenarios }, async (stage, { only }) => {
  const chosen = chosenBy(only, scenarios)
  for (const scenario of chosen) {
    chapter(scenario.title, scenario.text)
    await scenario.play(stage)
    await recovered(stage)
  }
  stage.spread = (await stage.report()).perExit
})
