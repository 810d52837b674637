/** What the agents cost: memory, processor time while nothing happens, start, and a scrape beside a large table of flows. */
import { setTimeout as delay } from 'node:timers/promises'
import { awaitWeight, pairOf, addressOf } from '@vpn-gateway/demo/awaiting'
import { parseIpvs } from '@vpn-gateway/kernel'
import { awaitCondition, type Lab } from '@vpn-gateway/lab'
import { ownStart, scraping, startAnew } from './agent-process.ts'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { processMegabytes, processSeconds } from './proc.ts'
import { median, worst } from './statistics.ts'
import { tellingFlows } from './tell-flows.ts'
import { withLab } from './with-lab.ts'

const scrapes = 31
/** Flows in the table of a large router. */
const many = 100_000
/** Milliseconds that a scrape may take, on hardware, where Node starts in 40. */
const promisedScrape = 50
const promisedScrapeInStarts = promisedScrape / 40

export const agentsBenchmark: Benchmark = {
  title: 'Agents: memory, idle processor time, start, scrape',
  lab: true,
  mostFlows: many,
  run: (say, { flows, rounds, seconds, emulated }) =>
    withLab(say, (lab) =>
      measure(lab, { flows: flows?.[0] ?? many, rounds: rounds ?? (emulated ? 3 : 10), seconds: seconds ?? 60 }, say),
    ),
}

interface Extent {
  flows: number
  rounds: number
  /** Seconds of idleness. */
  seconds: number
}

async function measure(lab: Lab, { flows, rounds, seconds }: Extent, say: Say): Promise<Figure[]> {
  const { active, standby } = await pairOf(lab)
  const agents = [
    ['gateway', 'gateway-0'],
    ['active router', active],
    ['standby router', standby],
    ['node', 'node-1'],
  ] as const
  const node = await startOfNode(lab, active, rounds)
  say(`a start of Node: ${node.toFixed(0)} ms`)
  const figures: Figure[] = [
    {
      figure: 'start of Node',
      value: node,
      unit: 'ms',
      method: `median of ${rounds} starts of \`node\` that does nothing, by its own clock`,
    },
  ]
  const pid = (name: string): number => {
    const id = lab.agents.pid(name)
    if (id === undefined) throw new Error(`${name} does not run`)
    return id
  }
  const began = agents.map(([, name]) => processSeconds(pid(name)))
  const idleFrom = performance.now()
  await delay(seconds * 1000)
  const idle = (performance.now() - idleFrom) / 1000
  for (const [index, [kind, name]] of agents.entries()) {
    const used = processSeconds(pid(name)) - (began[index] ?? 0)
    const anonymous = processMegabytes(pid(name), 'RssAnon')
    figures.push(
      {
        figure: `${kind}: resident memory`,
        value: processMegabytes(pid(name), 'VmRSS'),
        unit: 'MB',
        method: `VmRSS of the agent’s process, ${anonymous.toFixed(1)} MB of it anonymous; daemons not included`,
      },
      {
        figure: `${kind}: idle processor time`,
        value: (100 * used) / idle,
        unit: '%',
        method: `of one processor over ${seconds} s without traffic, the commands that it ran included`,
      },
      {
        figure: `${kind}: idle processor time a minute, in starts of Node`,
        value: ((used / idle) * 60) / (node / 1000),
        unit: 'ratio',
        method: 'the same over the start of Node above: comparable between machines',
      },
    )
  }
  for (const [kind, name] of agents) {
    if (kind === 'active router') continue
    say(`${name}: ${rounds} starts`)
    figures.push(...(await starts(lab, kind === 'standby router' ? 'router' : kind, name, rounds, node)))
  }
  say('scrapes of a router without flows')
  const empty = await scrape(lab, active)
  say(`${flows} flows by IPVS sync`)
  await tellOfFlows(lab, { active, standby }, flows)
  const full = await scrape(lab, active)
  const label = flows.toLocaleString('en')
  figures.push(
    {
      figure: 'router: /metrics without flows',
      value: median(empty),
      unit: 'ms',
      most: promisedScrape,
      method: `median of ${scrapes} requests in a row from the router’s own host; the longest took ${worst(empty).toFixed(0)} ms`,
    },
    {
      figure: `router: /metrics at ${label} flows`,
      value: median(full),
      unit: 'ms',
      most: promisedScrape,
      method: `the same with ${label} flows in IPVS’ table, put there by IPVS’ own sync; the longest took ${worst(full).toFixed(0)} ms`,
    },
    {
      figure: `router: /metrics at ${label} flows over none`,
      value: median(full) / median(empty),
      unit: 'ratio',
      method: 'the two above divided: 1 where a scrape does not depend on the number of flows',
      most: 2,
    },
    {
      figure: `router: /metrics at ${label} flows, in starts of Node`,
      value: median(full) / node,
      unit: 'ratio',
      most: promisedScrapeInStarts,
      method: `the same over the start of Node above: ${promisedScrape} ms where Node takes 40`,
    },
    {
      figure: `router: resident memory at ${label} flows`,
      value: processMegabytes(pid(active), 'VmRSS'),
      unit: 'MB',
      method: `VmRSS after these scrapes`,
    },
  )
  return figures
}

async function startOfNode(lab: Lab, host: string, rounds: number): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < rounds; round += 1)
    times.push(Number(await lab.exec(host, [process.execPath, '-e', ownStart])))
  return median(times)
}

async function scrape(lab: Lab, router: string): Promise<number[]> {
  const program = scraping('http://127.0.0.1:9802/metrics', scrapes)
  return JSON.parse(await lab.exec(router, [process.execPath, '-e', program], { timeoutMs: 300_000 })) as number[]
}

async function starts(lab: Lab, kind: string, name: string, rounds: number, node: number): Promise<Figure[]> {
  const listening: number[] = []
  const ready: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const times = await startAnew(lab, name)
    listening.push(times.listening)
    ready.push(times.ready)
  }
  return [
    {
      figure: `${kind}: start until it listens`,
      value: median(listening),
      unit: 'ms',
      method: `median of ${rounds}, after a kill -9, by its own clock`,
    },
    {
      figure: `${kind}: start until it listens, in starts of Node`,
      value: median(listening) / node,
      unit: 'ratio',
      method: 'the same over the start of Node above',
    },
    {
      figure: `${kind}: start to ready`,
      value: median(ready),
      unit: 'ms',
      method: `until /readyz says so, its daemons${kind === 'gateway' ? ' and its tunnel' : ''} included; what it had set in the kernel was still there`,
    },
  ]
}

/** Has the standby tell the active router of flows. */
async function tellOfFlows(
  lab: Lab,
  { active, standby }: { active: string; standby: string },
  flows: number,
): Promise<void> {
  const gateways = lab.topology.pods.filter(({ kind }) => kind === 'gateway').map(({ name }) => name)
  const servers: string[] = []
  for (const name of gateways) {
    await awaitWeight(lab, name, (weight) => weight > 0)
    servers.push(await addressOf(lab, name))
  }
  const from = lab.state.attached[standby]?.['net2']?.address.split('/')[0] ?? ''
  const { argv, stdin } = tellingFlows({ from, syncId: 51, gateways: servers, first: 0, end: flows })
  await lab.exec(standby, argv, { stdin, timeoutMs: 300_000 })
  await awaitCondition(
    'all flows to be in the table',
    async () => {
      const services = parseIpvs(await lab.exec(active, ['cat', '/proc/net/ip_vs']))
      const have = services
        .flatMap(({ realServers }) => realServers)
        .reduce((sum, { activeConnections }) => sum + activeConnections, 0)
      if (have < flows) throw new Error(`${have} are`)
      return true
    },
    { timeoutMs: 60_000 },
  )
}
