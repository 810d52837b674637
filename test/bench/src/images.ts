/** What the images cost: their size over the base, how long an agent takes to answer, and its memory once scraped for long. */
import { readFileSync } from 'node:fs'
import { containerPid, inContainer, type Lab } from '@vpn-gateway/lab'
import { ensureImages } from '@vpn-gateway/lab/machine/images.ts'
import { ownStart } from './agent-process.ts'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { firstAnswer, type FirstAnswer } from './first-answer.ts'
import { readImage } from './image.ts'
import { childOf, parseGauge, parseMegabytes } from './proc.ts'
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
  const figures: Figure[] = []
  // One after the other: beside others, on one processor, an answer takes longer than a connection may be silent.
  for (const [kind, [name, port]] of kinds) {
    say(`${name}: ${scrapes} scrapes`)
    figures.push(await size(images, kind), ...(await memory(lab, images, kind, name, port)))
    say(`${name}: ${rounds} starts`)
    figures.push(...(await start(lab, kind, name, port)))
  }
  return figures
}

async function size(images: string, kind: string): Promise<Figure> {
  const { overBase } = await readImage(images, kind)
  const largest = overBase.largest.map(({ path, bytes }) => `${path.split('/').at(-1)} ${(bytes / 1e6).toFixed(1)}`)
  return {
    figure: `${kind}: size over the base`,
    value: overBase.bytes / 1e6,
    unit: 'MB',
    most: 40,
    method: `files that the base has not or has otherwise, unpacked; the largest: ${largest.join(', ')}`,
  }
}

async function memory(lab: Lab, images: string, kind: string, name: string, port: number): Promise<Figure[]> {
  const url = `http://127.0.0.1:${port}/metrics`
  const script = `(async () => { let text = ''
    for (let i = 0; i < ${scrapes}; i += 1) text = await (await fetch('${url}')).text()
    console.log(text) })()`
  const text = await lab.exec(name, [process.execPath, '-e', script], { timeoutMs: 1_800_000 })
  const status = readFileSync(`/proc/${nodeProcess(name)}/status`, 'utf8')
  const bare = await lab.exec(name, inContainer(name, ['node', ...(await flagsOf(images, kind)), '-e', ownStatus]))
  const of = (field: string): number => parseMegabytes(status, field)
  const inMegabytes = (field: string): string => of(field).toFixed(1)
  const heap = (metric: string): string => (parseGauge(text, metric) / 1e6).toFixed(1)
  const bareOf = (field: string): string => parseMegabytes(bare, field).toFixed(1)
  const method = `of the agent's process, as proc(5) has it, right after ${scrapes.toLocaleString('en')} scrapes of /metrics in a row`
  return [
    {
      figure: `${kind}: anonymous memory`,
      value: of('RssAnon'),
      unit: 'MB',
      most: 30,
      method: `RssAnon ${method}; V8's heap ${heap('nodejs_heap_size_total_bytes')}, ${heap('nodejs_heap_size_used_bytes')} of it in use; buffers ${heap('nodejs_external_memory_bytes')}; a bare \`node\` under the same flags has ${bareOf('RssAnon')}`,
    },
    {
      figure: `${kind}: resident memory`,
      value: of('VmRSS'),
      unit: 'MB',
      most: 75,
      method: `VmRSS ${method}; mapped files, which all of a machine share, ${inMegabytes('RssFile')}, anonymous ${inMegabytes('RssAnon')}; a bare \`node\` under the same flags has ${bareOf('VmRSS')}`,
    },
  ]
}

/** Program text of Node that prints what proc(5) has of itself. */
const ownStatus = `process.stdout.write(require('node:fs').readFileSync('/proc/self/status', 'utf8'))`

/** The flags that an image has Node run its agent with. */
async function flagsOf(images: string, kind: string): Promise<string[]> {
  const { config } = await readImage(images, kind)
  return config.Entrypoint.filter((word) => /^--./.test(word))
}

/** The agent itself: the one child of the container's first process, which is an init. */
function nodeProcess(name: string): number {
  const init = containerPid(name)
  const agent = init === undefined ? undefined : childOf(init)
  if (agent === undefined) throw new Error(`${name}: its container does not run`)
  return agent
}

async function start(lab: Lab, kind: string, name: string, port: number): Promise<Figure[]> {
  const bare: number[] = []
  const starts: FirstAnswer[] = []
  for (let round = 0; round < rounds; round += 1) {
    bare.push(Number(await lab.exec(name, inContainer(name, ['node', '-e', ownStart]))))
    starts.push(await firstAnswer(lab, name, port))
  }
  const whole = median(starts.map(({ node, program, answer }) => node + program + answer))
  const part = (of: (start: FirstAnswer) => number): string => median(starts.map(of)).toFixed(0)
  return [
    {
      figure: `${kind}: start to /livez`,
      value: whole,
      unit: 'ms',
      most: 300,
      method: `median of ${rounds}: from the start of the process until somebody who kept asking was answered 200; Node's own start ${part(({ node }) => node)}, the program until its port was open ${part(({ program }) => program)}, the answer ${part(({ answer }) => answer)}`,
    },
    {
      figure: `${kind}: start to /livez, in starts of Node`,
      value: whole / median(bare),
      unit: 'ratio',
      most: promisedStarts,
      method: `the same over the median of ${rounds} starts of \`node\` without flags in the same container, ${median(bare).toFixed(0)} ms: comparable between machines`,
    },
  ]
}
