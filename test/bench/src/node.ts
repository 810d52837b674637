/** How the node agent's loop copes with many peers: its own desired state and reconciler, on a real kernel. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadSystem } from '@vpn-gateway/config'
import { createRunner, type Invocation, type Runner } from '@vpn-gateway/kernel'
import { intent } from '@vpn-gateway/node-agent/intent'
import { createReconciler } from '@vpn-gateway/reconcile'
import type { Benchmark, Figure } from './benchmark.ts'
import { measureProcess } from './node-process.ts'
import { median } from './statistics.ts'

const counts = [10, 100, 1000]
/** Milliseconds in which this many peers may be there, on hardware. */
const promised = { peers: 1000, milliseconds: 2000 }
const rounds = 3

export const nodeBenchmark: Benchmark = {
  title: 'Node agent: unicast peers on two networks',
  async run(say, { seconds = 60 }) {
    const host = createRunner()
    await host.run({
      argv: ['ip', '-batch', '-'],
      stdin: [
        'link set lo up',
        'link add eth0 type bridge',
        'link set eth0 up',
        'address add 172.16.0.1/12 dev eth0',
        'route add default via 172.16.255.254',
        '',
      ].join('\n'),
    })
    const directory = await mkdtemp(join(tmpdir(), 'bench-node-'))
    try {
      const start = await processStart(host)
      const figures: Figure[] = [
        { figure: 'start of a process', value: start, unit: 'ms', method: 'median of 21 runs of `ip -V` from Node' },
      ]
      const config = join(directory, 'system.yaml')
      for (const peers of counts) {
        figures.push(...(await measure(config, peers, start, say)))
        await writeFile(config, systemText(addresses(peers)))
        say(`${peers} peers: the agent as a process`)
        const clean = () => unlink(host)
        figures.push(
          ...(await measureProcess({ config, directory, label: labelOf(peers) }, { rounds, seconds }, clean)),
        )
      }
      return figures
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
}

async function processStart(runner: Runner): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < 21; round++) times.push((await timed(() => runner.run({ argv: ['ip', '-V'] })))[0])
  return median(times)
}

/** The addresses of this node and of others. */
const addresses = (peers: number) =>
  Array.from(
    { length: peers + 1 },
    (_, index) => `172.${16 + Math.floor(index / 65_000)}.${Math.floor(index / 250) % 256}.${(index % 250) + 1}`,
  )

const systemText = (list: readonly string[]) => `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.50.0/24
  clients: 192.168.50.1-192.168.50.239
  vip: 192.168.50.240
  routers: 192.168.50.241-192.168.50.247
  gateways: 192.168.50.248-192.168.50.254
  mtu: 1420
  bridge: vpn-gateway
  vxlan: { vni: 50 }
routerNetwork: { subnet: 192.168.51.0/24, mtu: 1450, bridge: vpn-router, vxlan: { vni: 51 } }
underlay: { mtu: 1500, peers: { addresses: [${list.join(', ')}] } }
`

const labelOf = (peers: number): string => `${peers.toLocaleString('en')} peers`

/** Removes what an agent has made. */
async function unlink(runner: Runner): Promise<void> {
  const links = ['vpn-gateway-x', 'vpn-router-x', 'vpn-gateway', 'vpn-router']
  await runner.run({ argv: ['ip', '-batch', '-'], stdin: links.map((link) => `link del ${link}\n`).join('') })
}

async function measure(file: string, peers: number, start: number, say: (line: string) => void): Promise<Figure[]> {
  const times: { nothing: number[]; converged: number[]; join: number[] } = { nothing: [], converged: [], join: [] }
  let fromNothing: Invocation[] = []
  let converged: Invocation[] = []
  let joined: Invocation[] = []
  for (let round = 0; round < rounds; round++) {
    const before = addresses(peers)
    await writeFile(file, systemText(before))
    const { runner, taken } = recording()
    let system = await loadSystem(file)
    const current = () => intent(runner, system, { config: file, name: 'bench' })
    const { owner } = await current()
    const reconciler = createReconciler({
      name: 'bench',
      owner,
      runner,
      desired: async () => (await current()).desired,
      log: { info: () => undefined, warn: () => undefined },
      watch: false,
    })
    taken()
    times.nothing.push((await timed(() => reconciler.start(AbortSignal.timeout(600_000))))[0])
    if (!reconciler.status().converged) throw new Error(reconciler.status().errors.slice(0, 3).join('; '))
    fromNothing = taken()
    times.converged.push((await timed(() => reconciler.settled()))[0])
    converged = taken()
    await writeFile(file, systemText([...before, '172.31.255.1']))
    system = await loadSystem(file)
    times.join.push((await timed(() => reconciler.settled()))[0])
    joined = taken()
    await reconciler.stop(AbortSignal.timeout(10_000))
    await unlink(runner)
    say(`${peers} peers, round ${round + 1}: ${Math.round(times.nothing.at(-1) ?? 0)} ms from nothing`)
  }
  const label = labelOf(peers)
  const nothing = median(times.nothing)
  const count = (figure: string, value: number, method: string, most?: number): Figure => ({
    figure: `${label}: ${figure}`,
    value,
    unit: 'count',
    method,
    ...(most === undefined ? {} : { most }),
  })
  return [
    {
      figure: `${label}: from nothing`,
      value: nothing,
      unit: 'ms',
      method: `median of ${rounds}: first pass of the reconciler to its end, converged: reading, two bridges, two VXLAN links, filters, ${2 * peers} entries, reading again`,
      ...(peers === promised.peers ? { most: promised.milliseconds } : {}),
    },
    {
      figure: `${label}: from nothing, in starts of a process`,
      value: nothing / start,
      unit: 'ratio',
      method: 'the two figures above divided: comparable between machines',
    },
    count('batches of entries', entriesIn(fromNothing).batches, 'calls of `bridge -batch` in that pass', 1),
    count('entries', entriesIn(fromNothing).lines, 'lines of that batch'),
    {
      figure: `${label}: converged pass`,
      value: median(times.converged),
      unit: 'ms',
      method: `median of ${rounds}: a whole pass with nothing to do`,
    },
    count('converged pass, changing commands', changing(converged).length, 'calls with input other than a listing', 0),
    {
      figure: `${label}: one joins`,
      value: median(times.join),
      unit: 'ms',
      method: `median of ${rounds}: a pass with one more peer in the list`,
    },
    count('one joins, entries touched', entriesIn(joined).lines, 'lines of `bridge -batch`: one for each network', 2),
  ]
}

/** A runner that remembers what it was asked for; `taken` empties it. */
function recording(): { runner: Runner; taken: () => Invocation[] } {
  const runner = createRunner()
  let asked: Invocation[] = []
  return {
    runner: {
      run: (invocation) => {
        asked.push(invocation)
        return runner.run(invocation)
      },
    },
    taken() {
      const result = asked
      asked = []
      return result
    },
  }
}

/** Commands that change something: those with input that is no listing. */
function changing(invocations: readonly Invocation[]): Invocation[] {
  return invocations.filter(({ stdin }) => stdin !== undefined && !/^(link|address|route|rule) show/.test(stdin))
}

function entriesIn(invocations: readonly Invocation[]): { batches: number; lines: number } {
  const batches = invocations.filter(({ argv, stdin }) => argv[0] === 'bridge' && stdin !== undefined)
  const lines = batches.flatMap(({ stdin = '' }) => stdin.split('\n').filter((line) => line !== ''))
  return { batches: batches.length, lines: lines.length }
}

async function timed<T>(work: () => Promise<T>): Promise<[milliseconds: number, result: T]> {
  const began = performance.now()
  const result = await work()
  return [performance.now() - began, result]
}
