/** What the path carries, beside the same kernel with plain routes over the same hops and the same WireGuard. */
import { setTimeout as delay } from 'node:timers/promises'
import { awaitWeight, pairOf } from '@vpn-gateway/demo/awaiting'
import { awaitCondition, internetAddress, startProcess, type Lab } from '@vpn-gateway/lab'
import { ensurePackages } from '@vpn-gateway/lab/machine/packages.ts'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { readResult, type Carried } from './iperf.ts'
import { layPlainPath, plainTarget, type Hops } from './plain-path.ts'
import { busySeconds } from './proc.ts'
import { median, ratios } from './statistics.ts'
import { withLab } from './with-lab.ts'

/** TCP port of iperf3's server on the Internet host. */
const port = 5201
/** On another node than the client, so that either way crosses the VXLAN once. */
const gateway = 'gateway-1'
const client = 'client-0'

/** What is sent; a datagram of 64 bytes costs what a packet costs, whatever it carries. */
const loads = [
  { title: 'TCP, 1 flow', flows: 1, options: [] },
  { title: 'TCP, 64 flows', flows: 64, options: [] },
  { title: 'UDP of 64 bytes, 1 flow', flows: 1, options: ['-u', '-b', '0', '-l', '64'] },
  { title: 'UDP of 64 bytes, 64 flows', flows: 64, options: ['-u', '-b', '0', '-l', '64'] },
] as const
type Load = (typeof loads)[number]

/** One measurement. */
interface Run extends Carried {
  /** Seconds that the processors worked, less what they work when nothing is sent. */
  processor: number
}

export const throughputBenchmark: Benchmark = {
  title: 'Throughput: client, router, gateway, provider, Internet',
  lab: true,
  prepare: (say) => ensurePackages('bench', say),
  run: (say, { rounds, seconds, emulated }) =>
    withLab(say, (lab) => measure(lab, rounds ?? (emulated ? 3 : 10), seconds ?? (emulated ? 5 : 10), say)),
}

async function measure(lab: Lab, rounds: number, seconds: number, say: Say): Promise<Figure[]> {
  const { active } = await pairOf(lab)
  const hops: Hops = { client, router: active, gateway }
  await layPlainPath(lab, hops)
  // All through the one gateway that the plain path stands beside.
  for (const { name, kind } of lab.topology.pods) {
    if (kind !== 'gateway' || name === gateway) continue
    await lab.faults.drain(name)
    await awaitWeight(lab, name, (weight) => weight === 0)
  }
  // One for each address: of UDP, a server of both would answer from the first whichever it was asked at.
  for (const address of [internetAddress, plainTarget]) {
    const argv = ['iperf3', '-s', '-B', address, '-p', String(port)]
    startProcess({ name: `iperf3-${address}`, namespace: 'internet', argv })
    await awaitCondition(
      `iperf3 to listen at ${address}`,
      async () => (await lab.exec('internet', ['ss', '-ltn'])).includes(`${address}:${port}`) || undefined,
      { timeoutMs: 30_000 },
    )
  }
  const idle = await idleRate(seconds)
  say(`idle: ${(100 * idle).toFixed(0)} % of a processor`)
  const run = async (host: string, target: string, load: Load): Promise<Run> => {
    // What a load before it did to the system, that held up its health checks, is not this one's.
    await awaitWeight(lab, gateway, (weight) => weight > 0)
    return sendFrom(lab, host, target, load, seconds, idle)
  }
  const figures: Figure[] = [
    {
      figure: 'idle lab',
      value: 100 * idle,
      unit: '%',
      method: `processor time of all agents, daemons and probes while nothing is sent, over ${seconds} s; 100 is one processor; taken off below`,
    },
  ]
  const provider = lab.topology.providers.find((each) => each.gateway === gateway)?.name ?? ''
  for (const load of loads) {
    const ours: Run[] = []
    const plain: Run[] = []
    const alone: Run[] = []
    for (let round = 0; round < rounds; round += 1) {
      ours.push(await run(client, internetAddress, load))
      plain.push(await run(client, plainTarget, load))
      alone.push(await run(provider, internetAddress, load))
    }
    figures.push(...figuresOf(load, { ours, plain, alone }, `median of ${rounds} times ${seconds} s`))
    const last = figures.filter(({ figure }) => figure.startsWith(`${load.title}:`))
    say(last.map(({ figure, value, unit }) => `${figure}: ${value.toPrecision(3)} ${unit}`).join('\n'))
  }
  return figures
}

/** Seconds of processor time a second while nothing is sent. */
async function idleRate(seconds: number): Promise<number> {
  const [busy, began] = [busySeconds(), performance.now()]
  await delay(seconds * 1000)
  return (busySeconds() - busy) / ((performance.now() - began) / 1000)
}

async function sendFrom(
  lab: Lab,
  host: string,
  target: string,
  { title, flows, options }: Load,
  seconds: number,
  idle: number,
): Promise<Run> {
  const argv = [
    'iperf3',
    '-c',
    target,
    '-p',
    String(port),
    '-t',
    String(seconds),
    '-P',
    String(flows),
    '-J',
    ...options,
  ]
  // It says what went wrong on standard output.
  const shell = ['bash', '-c', '"$0" "$@" || true', ...argv]
  return awaitCondition(
    `${title} from ${host} to ${target}`,
    async () => {
      const [busy, began] = [busySeconds(), performance.now()]
      const text = await lab.exec(host, shell, { timeoutMs: (seconds + 120) * 1000 })
      if (text.includes('the server is busy')) return undefined
      const took = (performance.now() - began) / 1000
      return { ...readResult(text), processor: busySeconds() - busy - idle * took }
    },
    // iperf3 gives up a connection that is not there after half a minute; a few are tried.
    { timeoutMs: 90_000 },
  )
}

const paths = {
  ours: 'vpn-gateway',
  plain: 'plain routes',
  alone: 'sender and receiver alone',
} as const

function figuresOf(load: Load, runs: Record<keyof typeof paths, Run[]>, times: string): Figure[] {
  const udp = load.options.length > 0
  const [what, unit, of]: [string, Figure['unit'], (run: Run) => number] = udp
    ? ['packets', 'packets/s', ({ packetsPerSecond }) => packetsPerSecond]
    : ['throughput', 'Mbit/s', ({ bitsPerSecond }) => bitsPerSecond / 1e6]
  const cost: [string, Figure['unit'], (run: Run) => number] = udp
    ? ['processor time of a million packets', 's', ({ processor, packets }) => (processor / packets) * 1e6]
    : ['processor time', 's/GB', ({ processor, bytes }) => (processor / bytes) * 1e9]
  const about = {
    ours: `${times}: iperf3 in ${client}, through the active router's IPVS and ${gateway} to the Internet host; what was received`,
    plain: `the same, in turns, through a router of two routes and a gateway of one masquerade`,
    alone: `the same, in turns, from the provider's own host: no router, no gateway, no WireGuard, no VXLAN`,
  }
  const names = Object.keys(paths) as (keyof typeof paths)[]
  const row = ([title, rowUnit, value]: typeof cost, method: (name: keyof typeof paths) => string): Figure[] =>
    names.map((name) => ({
      figure: `${load.title}: ${title}, ${paths[name]}`,
      value: median(runs[name].map(value)),
      unit: rowUnit,
      method: method(name),
    }))
  return [
    ...row([what, unit, of], (name) => about[name]),
    {
      figure: `${load.title}: ${what}, vpn-gateway over plain routes`,
      value: median(ratios(runs.ours.map(of), runs.plain.map(of))),
      unit: 'ratio',
      method: 'median of the quotients of each round: comparable between machines',
    },
    ...row(
      cost,
      () =>
        'what all processors worked by /proc/stat, sender and receiver included, idle lab taken off, over what was received',
    ),
    {
      figure: `${load.title}: ${cost[0]}, vpn-gateway over plain routes`,
      value: median(ratios(runs.ours.map(cost[2]), runs.plain.map(cost[2]))),
      unit: 'ratio',
      method: 'median of the quotients of each round',
    },
  ]
}
