/** Many flows at once: how fast they begin, what they cost, and whether the standby has them when it has to take over. */
import { setTimeout as delay } from 'node:timers/promises'
import { awaitTakeover, pairOf, routersOf } from '@vpn-gateway/demo/awaiting'
import { parseIpvs } from '@vpn-gateway/kernel'
import { awaitCondition, internetAddress, routerProcessId, type Flows, type Lab } from '@vpn-gateway/lab'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { startAnswers, startManyFlows, type ManyFlows } from './many-flows.ts'
import { layPlainPath, plainTarget } from './plain-path.ts'
import { machineMegabytes, parseSent, processMegabytes } from './proc.ts'
import { median, ratios } from './statistics.ts'
import { withLab } from './with-lab.ts'

const client = 'client-0'
const gateway = 'gateway-1'
/** Flows that are opened at a time to see how fast that goes, where there are to be many more. */
const mostBatch = 1000
/** Seconds that a UDP flow is remembered here: emulated, opening 50,000 takes longer than conntrack's 30 and 120 and IPVS' 300. */
const remembered = 900
/** Of flows that have spoken once, and of those that went on. */
const rememberedBy = ['nf_conntrack_udp_timeout', 'nf_conntrack_udp_timeout_stream']
/** Seconds that traffic between routers is watched for what it is without flows. */
const quietSeconds = 10

export const flowsBenchmark: Benchmark = {
  title: 'Many flows: begin, cost, failover',
  lab: true,
  // Each conntrack of the machine holds 65,536.
  mostFlows: 50_000,
  run: (say, { flows, rounds, emulated }) =>
    withLab(say, (lab) => measure(lab, flows ?? [10_000, 50_000], rounds ?? (emulated ? 3 : 10), say)),
}

async function measure(lab: Lab, wanted: readonly number[], rounds: number, say: Say): Promise<Figure[]> {
  const counts = wanted.toSorted((one, other) => one - other)
  const batch = Math.max(1, Math.min(mostBatch, Math.floor((counts[0] ?? 0) / (2 * rounds))))
  await Promise.all(routersOf(lab).map((name) => lab.agents.awaitReady(name)))
  const { active } = await pairOf(lab)
  await layPlainPath(lab, { client, router: active, gateway })
  for (const address of [internetAddress, plainTarget]) await startAnswers(lab, address)
  const names = [...lab.topology.pods.filter(({ kind }) => kind !== 'client'), ...lab.topology.providers]
  for (const { name } of [...names, { name: 'plain-gateway' }])
    await lab.exec(name, ['sysctl', '-qw', ...rememberedBy.map((key) => `net.netfilter.${key}=${remembered}`)])
  // Of IPVS' own three, TCP's two stay as they are.
  for (const name of routersOf(lab)) await lab.exec(name, ['ipvsadm', '--set', '0', '0', String(remembered)])
  const ours = startManyFlows(client, internetAddress)
  const plain = startManyFlows(client, plainTarget)
  const figures = await beginning(ours, plain, { rounds, batch }, say)
  plain.stop()
  let opened = rounds * batch
  for (const count of counts) {
    figures.push(...(await stage(lab, ours, { from: opened, to: count }, say)))
    opened = count
  }
  ours.stop()
  return figures
}

/** How fast flows begin. */
async function beginning(
  ours: ManyFlows,
  plain: ManyFlows,
  { rounds, batch }: { rounds: number; batch: number },
  say: Say,
): Promise<Figure[]> {
  const rate = async (flows: ManyFlows, to: number): Promise<number> => {
    const { opened, failed, milliseconds } = await flows.open(to)
    if (failed > 0) throw new Error(`${failed} of ${opened + failed} flows had no answer`)
    return opened / (milliseconds / 1000)
  }
  const rates = { ours: [] as number[], plain: [] as number[] }
  for (let round = 1; round <= rounds; round += 1) {
    rates.ours.push(await rate(ours, round * batch))
    rates.plain.push(await rate(plain, round * batch))
  }
  say(`flows begun a second: ${median(rates.ours).toFixed(0)}, by plain routes ${median(rates.plain).toFixed(0)}`)
  const method = `median of ${rounds} times ${batch.toLocaleString('en')} UDP flows, 128 at a time, each counted with its answer`
  return [
    { figure: 'new flows, vpn-gateway', value: median(rates.ours), unit: 'flows/s', method },
    {
      figure: 'new flows, plain routes',
      value: median(rates.plain),
      unit: 'flows/s',
      method: 'the same, in turns, through a router of two routes and a gateway of one masquerade',
    },
    {
      figure: 'new flows, vpn-gateway over plain routes',
      value: median(ratios(rates.ours, rates.plain)),
      unit: 'ratio',
      method: 'median of the quotients of each round: comparable between machines',
    },
  ]
}

/** Flows in a router's two tables. */
interface Tables {
  ipvs: number
  conntrack: number
}

async function ipvsFlows(lab: Lab, router: string): Promise<number> {
  const services = parseIpvs(await lab.exec(router, ['cat', '/proc/net/ip_vs']))
  return services
    .flatMap(({ realServers }) => realServers)
    .reduce((sum, { activeConnections, inactiveConnections }) => sum + activeConnections + inactiveConnections, 0)
}

async function tablesOf(lab: Lab, router: string): Promise<Tables> {
  const ipvs = await ipvsFlows(lab, router)
  const listed = `conntrack -L -p udp -d ${internetAddress} 2>/dev/null | wc -l`
  return { ipvs, conntrack: Number(await lab.exec(router, ['bash', '-c', listed], { timeoutMs: 120_000 })) }
}

/** What a router has sent to the other so far. */
async function sentBy(lab: Lab, router: string): Promise<{ bytes: number; packets: number; at: number }> {
  return { ...parseSent(await lab.exec(router, ['cat', '/proc/net/dev']), 'net2'), at: performance.now() }
}

/** More flows, up to a number; then the active router is cut off. */
async function stage(
  lab: Lab,
  flows: ManyFlows,
  { from, to }: { from: number; to: number },
  say: Say,
): Promise<Figure[]> {
  const { active, standby } = await pairOf(lab)
  const label = `${to.toLocaleString('en')} flows`
  const memory = () => ({
    kernel: machineMegabytes('SUnreclaim'),
    agent: processMegabytes(routerProcessId(active, 'agent'), 'VmRSS'),
    conntrackd: processMegabytes(routerProcessId(active, 'conntrackd'), 'VmRSS'),
  })
  const before = memory()
  const [quiet, start] = [await sentBy(lab, active), await delay(quietSeconds * 1000).then(() => sentBy(lab, active))]
  const { failed, again, milliseconds } = await flows.open(to)
  say(
    `${label} after ${(milliseconds / 1000).toFixed(0)} s, ${failed} without an answer, ${again} datagrams sent again`,
  )
  const standbyTables = await settled(lab, standby)
  const end = await sentBy(lab, active)
  const activeTables = await tablesOf(lab, active)
  const after = memory()
  // So that the other router was told of it long ago.
  const probe = await lab.startFlows({ client: 'client-1', count: 1, intervalMs: 10, protocol: 'udp' })
  const touched = await flows.touch()
  const end2 = await sentBy(lab, active)
  say(`active ${JSON.stringify(activeTables)}, standby ${JSON.stringify(standbyTables)}, ${JSON.stringify(touched)}`)

  const more = (field: 'bytes' | 'packets', one: typeof end, other: typeof end): number => {
    const idle = (start[field] - quiet[field]) / (start.at - quiet.at)
    return other[field] - one[field] - idle * (other.at - one.at)
  }
  const failover = await takeOver(lab, flows, probe, active)
  say(
    `taken over after ${failover.milliseconds.toFixed(0)} ms, silence ${failover.silence} ms, ${JSON.stringify(failover.touched)}`,
  )
  const healed = performance.now()
  await lab.faults.healRouter(active)
  await Promise.all(routersOf(lab).map((name) => lab.agents.awaitReady(name)))
  const readyAfter = performance.now() - healed
  const pair = await pairOf(lab)
  const [onNow, onHealed] = [await tablesOf(lab, pair.active), await settled(lab, pair.standby)]
  say(`ready after ${readyAfter.toFixed(0)} ms, active ${JSON.stringify(onNow)}, standby ${JSON.stringify(onHealed)}`)
  const opened = to - from
  const figure = (text: string, value: number, unit: Figure['unit'], method: string, most?: number): Figure => ({
    figure: `${label}: ${text}`,
    value,
    unit,
    method,
    ...(most === undefined ? {} : { most }),
  })
  const conntrackTime = `each conntrack here remembers UDP for ${remembered} s`
  return [
    figure(
      'without an answer',
      failed,
      'count',
      `of the ${opened.toLocaleString('en')} that were opened last, each tried 8 times`,
      0,
    ),
    figure(
      'IPVS entries that the standby lacks',
      Math.max(0, activeTables.ipvs - standbyTables.ipvs),
      'count',
      `the active router has ${activeTables.ipvs.toLocaleString('en')}; once the standby’s table changed no more`,
      0,
    ),
    figure(
      'conntrack entries that the standby lacks',
      Math.max(0, activeTables.conntrack - standbyTables.conntrack),
      'count',
      `the active router has ${activeTables.conntrack.toLocaleString('en')}; ${conntrackTime}`,
      0,
    ),
    figure(
      'kernel memory a flow',
      ((after.kernel - before.kernel) * 1e6) / opened,
      'bytes',
      'SUnreclaim of /proc/meminfo of the whole lab, over the flows opened last: two routers, gateway and provider together',
    ),
    figure('memory of the active router’s agent', after.agent, 'MB', `VmRSS; ${before.agent.toFixed(1)} MB before`),
    figure('memory of conntrackd', after.conntrackd, 'MB', `VmRSS; ${before.conntrackd.toFixed(1)} MB before`),
    figure(
      'sync traffic a new flow',
      more('bytes', start, end) / opened,
      'bytes',
      'what the active router sent on the router network while they were opened, less what it sends without them',
    ),
    figure('sync packets a new flow', more('packets', start, end) / opened, 'ratio', 'the same in packets'),
    figure(
      'sync traffic a datagram of an old flow',
      more('bytes', end, end2) / to,
      'bytes',
      'the same for one more datagram on each flow',
    ),
    figure('takeover', failover.milliseconds, 'ms', 'the active router is cut off, until the other holds the VIP'),
    figure(
      'silence of a takeover',
      failover.silence,
      'ms',
      'longest time without an answer to a UDP probe every 10 ms meanwhile',
    ),
    figure(
      'lost by a takeover',
      touched.same - failover.touched.same,
      'count',
      `flows whose next datagram was answered through another exit (${failover.touched.moved}) or not at all (${failover.touched.silent})`,
      0,
    ),
    figure(
      'told anew',
      readyAfter,
      'ms',
      'the cut heals, until both routers are ready, which a standby is once it was told all flows',
    ),
    figure(
      'IPVS entries that it then lacks',
      Math.max(0, onNow.ipvs - onHealed.ipvs),
      'count',
      `the active router has ${onNow.ipvs.toLocaleString('en')}`,
      0,
    ),
    figure(
      'conntrack entries that it then lacks',
      Math.max(0, onNow.conntrack - onHealed.conntrack),
      'count',
      `the active router has ${onNow.conntrack.toLocaleString('en')}`,
    ),
  ]
}

/** Cuts the active router off; what the probe and all flows see of it. */
async function takeOver(lab: Lab, flows: ManyFlows, probe: Flows, active: string) {
  await probe.mark()
  const began = performance.now()
  await lab.faults.cutRouter(active)
  await awaitTakeover(lab, active)
  const milliseconds = performance.now() - began
  const { answers } = await probe.report()
  const report = await awaitCondition(
    'the probe to be answered again',
    async () => {
      const seen = await probe.report()
      return seen.answers > answers + 50 ? seen : undefined
    },
    { timeoutMs: 60_000 },
  )
  await probe.stop()
  return { milliseconds, silence: report.longestSilenceMs, touched: await flows.touch() }
}

/** Entries of a router's conntrack that come and go without any of the flows. */
const otherEntries = 20

/**
 * A router's tables once they have not changed for a while. They are listed once at the end: emulated, listing 50,000 flows
 * takes ten seconds of the processor that the routers need to tell each other of them.
 */
async function settled(lab: Lab, router: string): Promise<Tables> {
  const look = async () => ({
    ipvs: await ipvsFlows(lab, router),
    entries: Number(await lab.exec(router, ['cat', '/proc/sys/net/netfilter/nf_conntrack_count'])),
  })
  let seen = await look()
  let since = performance.now()
  await awaitCondition(
    `${router} to have been told all`,
    async () => {
      const now = await look()
      const isSame = now.ipvs === seen.ipvs && Math.abs(now.entries - seen.entries) <= otherEntries
      if (!isSame) [seen, since] = [now, performance.now()]
      // IPVS' sync holds messages that are not full back for two seconds.
      return performance.now() - since > 5000 || undefined
    },
    { timeoutMs: 300_000, intervalMs: 500 },
  )
  return tablesOf(lab, router)
}
