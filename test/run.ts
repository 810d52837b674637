/** What `npm test` does: every check and every rung of tests, and a last line with the true totals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleTests, listTests } from './bundle.ts'
import { type Part, parseTestArguments, type TestRequest } from './lab/src/checks/parts.ts'
import {
  addTotals,
  exitCodeFor,
  NOTHING,
  oneCheck,
  type Totals,
  totalsLine,
  vitestTotals,
} from './lab/src/checks/totals.ts'
import { ensureBundles } from './lab/src/machine/bundles.ts'
import type { Machine } from './lab/src/machine/machine.ts'
import { bootMachine } from './lab/src/machine/vm.ts'
import { repositoryRoot } from './lab/src/paths.ts'

const root = repositoryRoot()
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const colour: Record<string, string> = process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }
let child: ChildProcess | undefined
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => {
    child?.kill(signal)
    // A machine that is up ends with this process.
    process.exit(code)
  })
}

/** Runs a program of the workspace on this machine, its output being ours. */
function here(program: string, ...args: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    child = spawn(join(root, 'node_modules/.bin', program), args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

/** Announces a step, times it, and turns what it throws into one failure, so that the others still run. */
async function step(title: string, work: () => Promise<Totals>): Promise<Totals> {
  const began = performance.now()
  say(`\n== ${title}`)
  let totals: Totals
  try {
    totals = await work()
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    totals = oneCheck(false)
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  say(`-- ${title}: ${totals.failed > 0 ? 'FAILED' : 'ok'} (${totalsLine(totals)}) in ${seconds} s`)
  return totals
}

const check = (title: string, program: string, ...args: string[]): Promise<Totals> =>
  step(title, async () => oneCheck((await here(program, ...args)) === 0))

/** Under emulation a test can take a minute, so that each is worth a line; on this machine each file is. */
const vitestArguments = (report: string, reporter: 'default' | 'verbose'): string[] => [
  'run',
  `--reporter=${reporter}`,
  '--reporter=json',
  `--outputFile.json=${report}`,
]

async function unit(): Promise<Totals> {
  const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-test-'))
  try {
    const report = join(directory, 'unit.json')
    const exitCode = await here('vitest', ...vitestArguments(report, 'default'), '--project=unit')
    return vitestTotals(await readFile(report, 'utf8').catch(() => undefined), exitCode)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Where each rung's tests are that need the machine. */
const RUNGS = [
  { part: 'kernel', directory: 'test/kernel', title: 'real kernel' },
  { part: 'lab', directory: 'test/e2e', title: 'the whole system in the lab' },
] as const satisfies { part: Part; directory: string; title: string }[]

async function inMachine(machine: Machine, project: string, directory: string): Promise<Totals> {
  const report = `${project}.json`
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const cwd = join(root, 'dist/test', project)
  const config = ['--root', cwd, '--config', join(cwd, 'vitest.config.mjs'), '--configLoader=native']
  const options = [...vitestArguments(join(machine.share.guest, report), 'verbose'), ...config]
  say(`starting ${(await listTests(directory)).length} test files inside`)
  const { exitCode } = await machine.exec([process.execPath, vitest, ...options], {
    env: colour,
    onOutput: (text, stream) => void process[stream].write(text),
  })
  return vitestTotals(await readFile(join(machine.share.host, report), 'utf8').catch(() => undefined), exitCode)
}

async function machineTests({ parts, noKvm }: TestRequest): Promise<Totals> {
  const rungs: (typeof RUNGS)[number][] = []
  for (const rung of RUNGS.filter(({ part }) => parts.has(part))) {
    if ((await listTests(rung.directory)).length > 0) rungs.push(rung)
    else say(`\n== ${rung.title}: there are no tests in ${rung.directory}`)
  }
  if (rungs.length === 0) return NOTHING
  let totals = await step('build', async () => {
    await ensureBundles(say)
    // Before the boot: the machine caches what it reads of this file system.
    for (const { part, directory } of rungs) await bundleTests(part, directory)
    return oneCheck(true)
  })
  if (totals.failed > 0) return totals

  let machine: Machine | undefined
  const boot = await step('machine with IPVS and WireGuard', async () => {
    machine = await bootMachine({ log: say, ...(noKvm ? { accelerator: 'tcg' } : {}) })
    return NOTHING
  })
  if (!machine) return addTotals(totals, boot)
  const running = machine
  try {
    for (const { part, title, directory } of rungs) {
      totals = addTotals(totals, await step(title, () => inMachine(running, part, directory)))
    }
  } finally {
    await running.shutdown()
  }
  return totals
}

async function main(request: TestRequest): Promise<Totals> {
  const { parts } = request
  const results: Totals[] = []
  if (parts.has('static')) {
    results.push(await check('lint', 'oxlint', '--type-aware'))
    results.push(await check('types', 'tsc', '-p', '.'))
    results.push(await check('unused code', 'knip'))
  }
  if (parts.has('unit')) results.push(await step('unit tests', unit))
  results.push(await machineTests(request))
  return results.reduce(addTotals)
}

let request: TestRequest | undefined
try {
  request = parseTestArguments(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
if (request) {
  const totals = await main(request)
  process.exitCode = exitCodeFor(totals)
  say(`\n${totalsLine(totals)}`)
}
