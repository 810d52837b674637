/** What the images cost: their size over the base, how long an agent takes to answer, and its memory once scraped for long. */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { containerPid, inContainer, type Lab } from '@vpn-gateway/lab'
import { ensureImages } from '@vpn-gateway/lab/machine/images.ts'
import { ownStart, startAnew } from './agent-process.ts'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { processMegabytes } from './proc.ts'
import { median } from './statistics.ts'
import { withLab } from './with-lab.ts'

const scrapes = 1000
const rounds = 5
/** One of each kind, with its port. */
const agents = { gateway: ['gateway-0', 9801], router: ['router-0', 9802], node: ['node-1', 9803] } as const
/** Starts of a bare Node that an agent may take until it answers: 300 ms where Node takes 40. */
const promisedStarts = 7.5

export const imagesBenchmark: Benchmark = {
  title: 'Images: size, start, memory',
  lab: true,
  prepare: ensureImages,
  async run(say) {
    const images = process.env['VPN_GATEWAY_IMAGES'] ?? ''
    return withLab(say, (lab) => measure(lab, images, say), { images })
  },
}

async function measure(lab: Lab, images: string, say: Say): Promise<Figure[]> {
  const kinds = Object.entries(agents)
  say(`${scrapes} scrapes of each: ten minutes where the processor is emulated`)
  const memories = await Promise.all(kinds.map(([kind, [name, port]]) => memory(lab, kind, name, port)))
  const figures: Figure[] = []
  for (const [index, [kind, [name]]] of kinds.entries()) {
    say(`${name}: ${rounds} starts`)
    figures.push(await size(images, kind), ...(memories[index] ?? []), ...(await start(lab, kind, name)))
  }
  return figures
}

async function size(images: string, kind: string): Promise<Figure> {
  const { overBase } = JSON.parse(await readFile(join(images, kind, 'image.json'), 'utf8')) as {
    overBase: { bytes: number; largest: { path: string; bytes: number }[] }
  }
  const largest = overBase.largest.map(({ path, bytes }) => `${path.split('/').at(-1)} ${(bytes / 1e6).toFixed(1)}`)
  return {
    figure: `${kind}: size over the base`,
    value: overBase.bytes / 1e6,
    unit: 'MB',
    most: 40,
    method: `files that the base has not or has otherwise, unpacked; the largest: ${largest.join(', ')}`,
  }
}

async function memory(lab: Lab, kind: string, name: string, port: number): Promise<Figure[]> {
  const script = `(async () => { for (let i = 0; i < ${scrapes}; i += 1)
    await (await fetch('http://127.0.0.1:${port}/metrics')).text() })()`
  await lab.exec(name, [process.execPath, '-e', script], { timeoutMs: 1_800_000 })
  const megabytes = (field: string): number => processMegabytes(nodeProcess(name), field)
  const method = `of the agent's process, as proc(5) has it, right after ${scrapes.toLocaleString('en')} scrapes of /metrics in a row`
  return [
    {
      figure: `${kind}: anonymous memory`,
      value: megabytes('RssAnon'),
      unit: 'MB',
      most: 30,
      method: `RssAnon ${method}`,
    },
    { figure: `${kind}: resident memory`, value: megabytes('VmRSS'), unit: 'MB', most: 75, method: `VmRSS ${method}` },
  ]
}

/** The agent itself: the one child of the container's first process, which is an init. */
function nodeProcess(name: string): number {
  const init = containerPid(name)
  return Number(readFileSync(`/proc/${init}/task/${init}/children`, 'utf8').trim().split(' ')[0])
}

async function start(lab: Lab, kind: string, name: string): Promise<Figure[]> {
  const init = containerPid(name)
  const bare: number[] = []
  const listening: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    bare.push(Number(await lab.exec(name, inContainer(name, ['node', '-e', ownStart]))))
  }
  if (init === undefined) throw new Error(`${name}: its container does not run`)
  for (let round = 0; round < rounds; round += 1) {
    listening.push((await startAnew(lab, name)).listening)
  }
  const [ours, node] = [median(listening), median(bare)]
  return [
    {
      figure: `${kind}: start to /livez`,
      value: ours,
      unit: 'ms',
      most: 300,
      method: `median of ${rounds}: from the start of the process until its port is open and /livez answered, by its own clock`,
    },
    {
      figure: `${kind}: start to /livez, in starts of Node`,
      value: ours / node,
      unit: 'ratio',
      most: promisedStarts,
      method: `the same over the median of ${rounds} starts of \`node\` in the same container: comparable between machines`,
    },
  ]
}
