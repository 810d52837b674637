/** How long clients hear nothing when a router goes, in every way that a router can go. */
import { pairOf } from '@vpn-gateway/demo/awaiting'
import { awaitRoutersReady, failOver, routerFailovers } from '@vpn-gateway/demo/router-failovers'
import { awaitCondition, sumReports, type FlowReport, type Flows, type Lab } from '@vpn-gateway/lab'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { median, worst } from './statistics.ts'
import { withLab } from './with-lab.ts'

/** Milliseconds between two probes. */
const pace = 10
const clients = ['client-0', 'client-1'] as const
/** Answers that the clients together get in a second. */
const aSecond = (clients.length * 1000) / pace

export const silenceBenchmark: Benchmark = {
  title: 'Silence: a probe every 10 ms while a router goes',
  lab: true,
  run: (say, { rounds, emulated }) => withLab(say, (lab) => measure(lab, rounds ?? (emulated ? 5 : 20), say)),
}

async function measure(lab: Lab, rounds: number, say: Say): Promise<Figure[]> {
  await awaitRoutersReady(lab)
  const probes = await Promise.all(
    clients.map((client) => lab.startFlows({ client, count: 1, intervalMs: pace, protocol: 'udp' })),
  )
  const calm: number[] = []
  const silences = routerFailovers.map((failover) => ({ failover, milliseconds: [] as number[] }))
  for (let round = 1; round <= rounds; round += 1) {
    calm.push((await observed(probes, async () => undefined)).longestSilenceMs)
    for (const { failover, milliseconds } of silences) {
      const { active } = await pairOf(lab)
      let undo: (() => Promise<void>) | undefined
      const { longestSilenceMs, perExit } = await observed(probes, async () => {
        undo = await failOver(lab, failover, active)
      })
      milliseconds.push(longestSilenceMs)
      say(`round ${round} of ${rounds}: ${failover.title}: ${longestSilenceMs} ms`)
      const moved = Object.keys(perExit).filter((exit) => exit.includes('+'))
      if (moved.length > 0) throw new Error(`${failover.title}: a probe changed its exit: ${moved.join(', ')}`)
      await undo?.()
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
