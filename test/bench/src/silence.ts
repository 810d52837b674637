/** How long clients hear nothing when a router goes, in every way that a router can go. */
import { awaitTakeover, pairOf, routersOf } from '@vpn-gateway/demo/awaiting'
import { awaitCondition, sumReports, type FlowReport, type Flows, type Lab } from '@vpn-gateway/lab'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { median, worst } from './statistics.ts'
import { withLab } from './with-lab.ts'

/** Milliseconds between two probes. */
const pace = 10
const clients = ['client-0', 'client-1'] as const
/** Answers that the clients together get in a second. */
const aSecond = (clients.length * 1000) / pace

interface Failover {
  title: string
  how: string
  /** Does it to the active router. */
  happen(lab: Lab, active: string): Promise<unknown> | void
  /** Takes it back, once another router has taken over. */
  mend(lab: Lab, active: string): Promise<unknown> | void
}

const failovers: readonly Failover[] = [
  {
    title: 'router cut off',
    how: 'the switch drops all from and to the active router: no goodbye, no lost carrier',
    happen: (lab, active) => lab.faults.cutRouter(active),
    mend: (lab, active) => lab.faults.healRouter(active),
  },
  {
    title: 'router killed',
    how: 'all processes of the active router get SIGKILL',
    async happen(lab, active) {
      lab.faults.signalRouter(active, 'SIGKILL')
      await lab.agents.kill(active)
    },
    mend: (lab, active) => lab.agents.start(active),
  },
  {
    title: 'router stopped',
    how: 'all processes of the active router get SIGSTOP',
    happen: (lab, active) => lab.faults.signalRouter(active, 'SIGSTOP'),
    mend: (lab, active) => lab.faults.signalRouter(active, 'SIGCONT'),
  },
  {
    title: 'rolling restart',
    how: 'the standby, then the active router: SIGTERM, a new agent, ready',
    async happen(lab, active) {
      const { standby } = await pairOf(lab)
      await restart(lab, standby)
      await restart(lab, active)
    },
    mend: () => undefined,
  },
]

async function restart(lab: Lab, router: string): Promise<void> {
  await lab.agents.stop(router)
  lab.agents.start(router)
  await lab.agents.awaitReady(router)
}

export const silenceBenchmark: Benchmark = {
  title: 'Silence: a probe every 10 ms while a router goes',
  lab: true,
  run: (say, { rounds, emulated }) => withLab(say, (lab) => measure(lab, rounds ?? (emulated ? 5 : 20), say)),
}

async function measure(lab: Lab, rounds: number, say: Say): Promise<Figure[]> {
  await recovered(lab)
  const probes = await Promise.all(
    clients.map((client) => lab.startFlows({ client, count: 1, intervalMs: pace, protocol: 'udp' })),
  )
  const calm: number[] = []
  const silences = failovers.map((failover) => ({ failover, milliseconds: [] as number[] }))
  for (let round = 1; round <= rounds; round += 1) {
    calm.push((await observed(probes, async () => undefined)).longestSilenceMs)
    for (const { failover, milliseconds } of silences) {
      const { active } = await pairOf(lab)
      const { longestSilenceMs, perExit } = await observed(probes, async () => {
        await failover.happen(lab, active)
        await awaitTakeover(lab, active)
      })
      milliseconds.push(longestSilenceMs)
      say(`round ${round} of ${rounds}: ${failover.title}: ${longestSilenceMs} ms`)
      const moved = Object.keys(perExit).filter((exit) => exit.includes('+'))
      if (moved.length > 0) throw new Error(`${failover.title}: a probe changed its exit: ${moved.join(', ')}`)
      await failover.mend(lab, active)
      await recovered(lab)
    }
  }
  await Promise.all(probes.map((probe) => probe.stop()))
  const both = (title: string, values: readonly number[], how: string): Figure[] => {
    const method = `of ${rounds}: ${how}; longest time without an answer to a UDP probe every ${pace} ms from either client`
    return [
      { figure: `${title}: median`, value: median(values), unit: 'ms', method },
      { figure: `${title}: worst`, value: worst(values), unit: 'ms', method: `as above` },
    ]
  }
  return [
    ...both('nothing happens', calm, 'a second in which nothing is done: what the machine itself adds'),
    ...silences.flatMap(({ failover: { title, how }, milliseconds }) => both(title, milliseconds, how)),
  ]
}

/** What the probes saw from before something happened until a second of them has been answered after it. */
async function observed(probes: readonly Flows[], happen: () => Promise<void>): Promise<FlowReport> {
  const report = async () => sumReports(await Promise.all(probes.map((probe) => probe.report())))
  await Promise.all(probes.map((probe) => probe.mark()))
  await happen()
  const { answers } = await report()
  return awaitCondition(
    'the probes to be answered again',
    async () => {
      const seen = await report()
      return seen.answers >= answers + aSecond ? seen : undefined
    },
    { timeoutMs: 60_000 },
  )
}

/** Waits until every router is ready, which a standby is once it was told all flows, and one holds the VIP. */
async function recovered(lab: Lab): Promise<void> {
  await Promise.all(routersOf(lab).map((name) => lab.agents.awaitReady(name)))
  await pairOf(lab)
}
