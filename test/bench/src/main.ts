/**
 * npm run bench -- NAME... [--flows N[,N]] [--rounds N] [--seconds N] [--native] [--no-kvm] [--json FILE]
 * Runs benchmarks in a machine of their own, or with --native as root in a network namespace on this machine's kernel.
 */
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config'
import { ensureBundles } from '@vpn-gateway/lab/machine/bundles.ts'
import { imagesDirectory } from '@vpn-gateway/lab/machine/images.ts'
import { bootMachine, type VirtualMachine } from '@vpn-gateway/lab/machine/vm.ts'
import { brokenPromises, table, type Figure, type Report } from './benchmark.ts'
import { benchmarks } from './benchmarks.ts'
import { readScale, type Scale } from './scale.ts'

const program = join(resolve(import.meta.dirname, '../../..'), 'dist/bench.mjs')
const say = (line: string): void => void process.stderr.write(`${line}\n`)
let machine: VirtualMachine | undefined

interface BenchRequest {
  names: string[]
  native: boolean
  noKvm: boolean
  json?: string
  scale: Omit<Scale, 'emulated'>
}

const help = (known: readonly string[]): string =>
  `${known.join(', ')}, --flows N[,N], --rounds N, --seconds N, --native, --no-kvm or --json FILE`

function parse(args: string[]): BenchRequest {
  const text = { type: 'string' } as const
  const toggle = { type: 'boolean' } as const
  const options = { native: toggle, 'no-kvm': toggle, json: text, flows: text, rounds: text, seconds: text } as const
  const known = Object.keys(benchmarks)
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    const unknown = positionals.filter((name) => !known.includes(name))
    if (unknown.length > 0) throw new Error(`"${unknown[0]}"`)
    return {
      names: positionals.length > 0 ? positionals : known,
      native: values.native === true,
      noKvm: values['no-kvm'] === true,
      scale: readScale(values),
      ...(values.json === undefined ? {} : { json: values.json }),
    }
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(`${(error as Error).message}: expected ${help(known)}`)
  }
}

/** The kernel is this machine's own; `unshare` needs root. */
async function runHere(name: string, { scale }: BenchRequest): Promise<Figure[]> {
  const argv = [process.execPath, program, name, JSON.stringify({ ...scale, emulated: false } satisfies Scale)]
  const child = spawn('unshare', ['--net', '--mount', ...argv], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
  const code = await new Promise((done, failed) => child.once('error', failed).once('close', done))
  if (code !== 0) throw new Error(`${name}: ended with ${String(code)}; --native needs root`)
  return JSON.parse(text) as Figure[]
}

async function runInMachine(name: string, { noKvm, scale }: BenchRequest): Promise<Figure[]> {
  machine ??= await bootMachine({ log: say, ...(noKvm ? { accelerator: 'tcg' as const } : {}) })
  let text = ''
  const whole: Scale = { ...scale, emulated: machine.accelerator !== 'kvm' }
  const argv = [process.execPath, program, name, JSON.stringify(whole)] as const
  const apart = ['unshare', '--net', '--mount', ...argv] as const
  const { exitCode } = await machine.exec(benchmarks[name]?.lab === true ? argv : apart, {
    env: { VPN_GATEWAY_IMAGES: imagesDirectory() },
    onOutput: (part, stream) => (stream === 'stdout' ? void (text += part) : void process.stderr.write(part)),
  })
  if (exitCode !== 0) throw new Error(`${name}: ended with ${exitCode}`)
  return JSON.parse(text) as Figure[]
}

async function main(request: BenchRequest): Promise<number> {
  const chosen = request.names.flatMap((name) => {
    const benchmark = benchmarks[name]
    return benchmark === undefined ? [] : [{ name, benchmark }]
  })
  const labs = chosen.filter(({ benchmark }) => benchmark.lab === true)
  if (request.native && labs.length > 0)
    throw new UserError(`${labs.map(({ name }) => name).join(', ')}: expected no --native: it is for a machine`)
  for (const { name, benchmark } of chosen) {
    const { mostFlows = Infinity } = benchmark
    if (request.scale.flows?.some((flows) => flows > mostFlows) === true)
      throw new UserError(`--flows: ${name}: expected at most ${mostFlows}`)
  }
  await ensureBundles(say)
  // Before the machine is there: it would not see that a file which it looked for in vain has come to be.
  for (const { benchmark } of chosen) await benchmark.prepare?.(say)
  const reports: Report[] = []
  for (const { name, benchmark } of chosen) {
    const at = new Date().toISOString()
    const figures = request.native ? await runHere(name, request) : await runInMachine(name, request)
    const kind = request.native ? 'native' : machine?.accelerator === 'kvm' ? 'kvm' : 'emulated'
    const [cpu] = cpus()
    const report: Report = {
      benchmark: name,
      title: benchmark.title,
      machine: {
        kind,
        kernel: request.native
          ? release()
          : `the distribution’s${machine?.accelerator === 'uml' ? ', in user mode' : ''}`,
        cpus: machine?.accelerator === 'uml' ? 1 : cpus().length,
        cpu: cpu?.model ?? 'unknown',
        node: process.version,
      },
      at,
      figures,
    }
    reports.push(report)
    process.stdout.write(`${table(report)}\n`)
    // After each: a later one may fail.
    if (request.json !== undefined)
      await writeFile(resolve(process.env['INIT_CWD'] ?? '.', request.json), `${JSON.stringify(reports, null, 2)}\n`)
  }
  const broken = reports.flatMap(brokenPromises)
  for (const { figure } of broken) say(`bench: more than promised: ${figure}`)
  return broken.length > 0 ? 1 : 0
}

try {
  process.exitCode = await main(parse(process.argv.slice(2)))
} catch (error) {
  const lines = error instanceof UserError ? error.problems : [error instanceof Error ? error.message : String(error)]
  for (const line of lines) say(`bench: ${line}`)
  process.exitCode = error instanceof UserError ? 2 : 1
} finally {
  await machine?.shutdown()
}
