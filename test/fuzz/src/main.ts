/** `npm run fuzz`: every input that an agent reads, damaged, and its health port beside clients that misbehave. */
import { parseArgs } from 'node:util'
import { healthUnderLoad, type HealthUnderLoad } from '../../../packages/runtime/test/health-load.ts'
import type { FuzzResult } from './class.ts'
import { createPlayer } from './player.ts'

/** Milliseconds by which no health answer may be later than one of an agent that is left alone. */
const mostDelay = 100

const help = `usage: npm run fuzz -- [--class TEXT] [--inputs NUMBER] [--seed NUMBER]
  --class TEXT     only classes whose name holds the text; health is one, and 'through wg', which runs only if named: it
                   needs root, wg and wireguard-go, and an input is fifty files
  --inputs NUMBER  of each class, 1 to 100000000 (default 100000)
  --seed NUMBER    0 to 2147483647, the same inputs again (default: another one each time)
Exit codes: 0 all held, 1 something did not, 2 wrong arguments.`

function fail(reason: string): never {
  console.error(`fuzz: ${reason}\n${help}`)
  process.exit(2)
}

function number(name: string, text: string, least: number, most: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : -1
  return value >= least && value <= most
    ? value
    : fail(`--${name}: "${text}": expected a number from ${least} to ${most}`)
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        class: { type: 'string', default: '' },
        inputs: { type: 'string', default: '100000' },
        seed: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      console.log(help)
      process.exit(0)
    }
    return values
  } catch (error) {
    return fail((error as Error).message)
  }
}

const options = readArguments()
const inputs = number('inputs', options.inputs, 1, 100_000_000)
const seed =
  options.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : number('seed', options.seed, 0, 2 ** 31 - 1)

/** Packages whose `fuzz-classes.ts` are played. */
const packages = ['config', 'runtime', 'kernel', 'gateway-agent', 'router-agent', 'node-agent', 'cli']
const files = [
  ...packages.map((name) => `${name}/test/fuzz-classes.ts`),
  // Only if named.
  ...(options.class === '' ? [] : ['gateway-agent/test/fuzz-wg.ts']),
]
const player = createPlayer(files.map((file) => new URL(`../../../packages/${file}`, import.meta.url)))
const chosen = (await player.classes()).filter(({ name }) => name.includes(options.class))
const health = 'health'.includes(options.class)
if (chosen.length === 0 && !health) fail(`--class: "${options.class}": no class has this in its name`)

const results: FuzzResult[] = []
let failures = 0
const width = Math.max(0, ...chosen.map(({ name }) => name.length))
const row = (...cells: string[]) =>
  console.log(cells.map((cell, index) => (index === 0 ? cell.padEnd(width) : cell.padStart(12))).join('  '))
const rate = ({ inputs: count, seconds }: FuzzResult) => Math.round(count / seconds)
const kib = (bytes: number) => `${Math.round(bytes / 1024)} KiB`

console.log(`seed ${seed}, ${inputs} inputs a class`)
row('class', 'inputs', 'inputs/s', 'heap growth', 'slowest')
for (const each of chosen) {
  try {
    const onProgress = (begun: number) => console.error(`  ${each.name}: ${begun} inputs`)
    const result = await player.play(each, { inputs, seed }, { onProgress })
    results.push(result)
    row(
      result.name,
      String(result.inputs),
      String(rate(result)),
      kib(result.heapGrowth),
      `${Math.round(result.slowest)} ms`,
    )
  } catch (error) {
    failures += 1
    console.log(`FAILED ${error instanceof Error ? error.message : String(error)}`)
  }
}

if (health) {
  console.error('  /livez beside 1,000 idle connections, 50 slow clients and 20 senders of 10 MiB')
  const say = (what: string, { median, p95, most }: HealthUnderLoad['alone']) =>
    console.log(
      `/livez ${what}: median ${median.toFixed(1)} ms, 95 of 100 within ${p95.toFixed(1)} ms, slowest ${most.toFixed(1)} ms`,
    )
  const { alone, loaded, idle, delay } = await healthUnderLoad()
  say('alone', alone)
  say(`beside ${idle} idle connections, slow clients and oversized bodies`, loaded)
  console.log(`/livez later than that of an agent left alone: at most ${delay.toFixed(1)} ms`)
  if (delay > mostDelay) {
    failures += 1
    console.log(`FAILED expected at most ${mostDelay} ms`)
  }
}

console.log(
  `${failures === 0 ? 'ok' : 'FAILED'}: ${results.length} classes held, ${failures} failed, ${results.reduce((sum, result) => sum + result.inputs, 0)} inputs`,
)
process.exit(failures === 0 ? 0 : 1)
