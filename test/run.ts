/** What `npm test` does: every check and every rung of tests, and a last line with the true totals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { bundleTests, listTests } from './bundle.ts'
import { type Part, parseTestArguments, testHelp, type TestRequest } from './lab/src/checks/parts.ts'
import {
  addTotals,
  closingLines,
  exitCodeFor,
  nothingRan,
  NOTHING,
  oneCheck,
  type Totals,
  totalsLine,
  vitestTotals,
} from './lab/src/checks/totals.ts'
import type { Accelerator } from './lab/src/machine/accelerator.ts'
import { ensureBundles } from './lab/src/machine/bundles.ts'
import { ensureImages, imagesDirectory } from './lab/src/machine/images.ts'
import { ensurePackages } from './lab/src/machine/packages.ts'
import { bootMachine, type VirtualMachine } from './lab/src/machine/vm.ts'
import { repositoryRoot } from './lab/src/paths.ts'

const root = repositoryRoot()
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const colour: Record<string, string> = process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }
let child: ChildProcess | undefined
/** What has ended so far: all of it, and of it the tests that vitest chose by the request's names. */
let ended = NOTHING
let tests = NOTHING
const close = (totals: Totals): void => say(`\n${closingLines(totals).join('\n')}`)
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => {
    child?.kill(signal)
    close(addTotals(ended, oneCheck(false)))
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
  ended = addTotals(ended, totals)
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  const nothing = totals.passed === 0 && totals.skipped > 0
  say(
    `-- ${title}: ${totals.failed > 0 ? 'FAILED' : nothing ? 'nothing ran' : 'ok'} (${totalsLine(totals)}) in ${seconds} s`,
  )
  return totals
}

/** A step of tests, which names may choose from. */
async function testStep(title: string, work: () => Promise<Totals>): Promise<void> {
  tests = addTotals(tests, await step(title, work))
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

/** What vitest is to leave out. */
const narrowed = ({ files, name }: TestRequest): string[] => [
  ...files,
  ...(name === undefined ? [] : [`--testNamePattern=${name}`]),
]

async function unit(request: TestRequest): Promise<Totals> {
  const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-test-'))
  try {
    const report = join(directory, 'unit.json')
    const exitCode = await here('vitest', ...vitestArguments(report, 'default'), '--project=unit', ...narrowed(request))
    return vitestTotals(await readFile(report, 'utf8').catch(() => undefined), exitCode)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

interface Rung {
  part: Part
  directory: string
  title: string
  /** Files that a run where nothing was chosen leaves out: they take long and have commands of their own. */
  onRequest: readonly string[]
  /**
   * Files that a run where nothing was chosen leaves out, too, where the processor is emulated: they take too long there, or
   * are about times that it cannot keep.
   */
  notEmulated: readonly string[]
  /** Files that come last, when no other machine is at work: with less than a processor agents miss their deadlines. */
  alone: readonly string[]
}

/** Test files of a rung that a run plays, and those that it leaves out. */
interface Choice {
  rung: Rung
  together: string[]
  alone: string[]
  left: string[]
}

/** Where each rung's tests are that need the machine. */
const RUNGS: readonly Rung[] = [
  {
    part: 'kernel',
    directory: 'test/kernel',
    title: 'real kernel',
    onRequest: [],
    notEmulated: [
      'gateway-leases.test.ts',
      'gateway-userspace.test.ts',
      'node-peers.test.ts',
      'router-agent.test.ts',
      'router-many.test.ts',
    ],
    alone: [],
  },
  {
    part: 'lab',
    directory: 'test/e2e',
    title: 'the whole system in the lab',
    onRequest: ['failover.test.ts', 'leaks.test.ts'],
    notEmulated: ['chaos.test.ts', 'command.test.ts', 'images.test.ts', 'single.test.ts', 'story.test.ts'],
    alone: ['chaos.test.ts'],
  },
]

async function inMachine(
  machine: VirtualMachine,
  request: TestRequest,
  { part: project }: Rung,
  files: readonly string[],
): Promise<Totals> {
  // What an earlier run has left must not count for this one.
  const report = `${project}-${randomUUID()}.json`
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const cwd = join(root, 'dist/test', project)
  const config = ['--root', cwd, '--config', join(cwd, 'vitest.config.mjs'), '--configLoader=native']
  // vitest takes parts of names; the bundles have the names of the files that they are made of, but for the last part.
  const names = narrowed({ ...request, files: files.map((file) => basename(file, 'ts')) })
  const options = [...vitestArguments(join(machine.share.guest, report), 'verbose'), ...config, ...names]
  say(`starting ${files.length} test files inside`)
  const { exitCode } = await machine.exec([process.execPath, vitest, ...options], {
    env: { ...colour, VPN_GATEWAY_IMAGES: imagesDirectory() },
    onOutput: (text, stream) => void process[stream].write(text),
  })
  return vitestTotals(await readFile(join(machine.share.host, report), 'utf8').catch(() => undefined), exitCode)
}

/** Test files of a rung that were asked for. */
const filesOf = async ({ files }: TestRequest, { directory }: Rung): Promise<string[]> =>
  (await listTests(directory)).filter((file) => files.length === 0 || files.some((text) => file.includes(text)))

async function choose({ accelerator }: VirtualMachine, request: TestRequest, rung: Rung): Promise<Choice> {
  const left = request.everyday ? [...rung.onRequest, ...(accelerator === 'tcg' ? rung.notEmulated : [])] : []
  const chosen = (await filesOf(request, rung)).filter((file) => !left.includes(file))
  const alone = chosen.filter((file) => rung.alone.includes(file))
  return { rung, left, alone, together: chosen.filter((file) => !alone.includes(file)) }
}

async function machineTests(request: TestRequest): Promise<void> {
  const { parts, noKvm } = request
  const rungs: Rung[] = []
  for (const rung of RUNGS.filter(({ part }) => parts.has(part))) {
    if ((await filesOf(request, rung)).length > 0) rungs.push(rung)
    else say(`\n== ${rung.title}: there are no such tests in ${rung.directory}`)
  }
  if (rungs.length === 0) return
  const built = await step('build', async () => {
    await ensureBundles(say)
    // Before the boot: the machine caches what it reads of this file system.
    for (const { part, directory } of rungs) await bundleTests(part, directory)
    return oneCheck(true)
  })
  if (built.failed > 0) return

  const boot = (accelerator?: Accelerator): Promise<VirtualMachine> =>
    bootMachine({ log: say, ...(accelerator === undefined ? {} : { accelerator }) })
  const machines: VirtualMachine[] = []
  await step('machine with IPVS and WireGuard', async () => {
    const first = await boot(noKvm ? 'tcg' : undefined)
    machines.push(first)
    // A user-mode kernel has one processor: on two each rung has a machine of its own, and they run side by side.
    if (first.accelerator === 'uml' && availableParallelism() >= rungs.length) {
      while (machines.length < rungs.length) machines.push(await boot(first.accelerator))
    }
    return NOTHING
  })
  const [first] = machines
  if (first === undefined) return
  // What is played depends on how slow the machine is, so that none may be slower.
  const { accelerator } = first
  const choices = await Promise.all(rungs.map((rung) => choose(first, request, rung)))
  const sideBySide = machines.length === rungs.length

  /** Runs files of a rung in one of the machines, by its number, or in another one that takes its place. */
  async function run(rung: Rung, files: readonly string[], number: number): Promise<Totals> {
    try {
      return await inMachine(machines[number] ?? (machines[number] = await boot(accelerator)), request, rung, files)
    } catch (error) {
      // It would be no fault of what is tested (docs/adr/0020-user-mode-kernel.md).
      if (!(error instanceof Error) || !error.message.includes('Kernel panic')) throw error
      say(`${error.message}\n\nthe kernel of the machine died: everything once more in another one`)
      await machines[number]?.shutdown()
      machines[number] = await boot(accelerator)
      return inMachine(machines[number], request, rung, files)
    }
  }
  try {
    if (choices.some(({ together }) => together.includes('images.test.ts'))) {
      await step('images', async () => {
        await ensureImages(say)
        return oneCheck(true)
      })
    }
    for (const { rung, left } of choices)
      if (left.length > 0) say(`left to \`npm test -- ${rung.part}\`: ${left.join(', ')}`)
    const together = choices.filter((choice) => choice.together.length > 0)
    const play = ({ rung, together: files }: Choice, number: number) =>
      testStep(rung.title, () => run(rung, files, number))
    if (sideBySide) await Promise.all(together.map(play))
    else for (const choice of together) await play(choice, 0)
    for (const { rung, alone } of choices.filter((choice) => choice.alone.length > 0)) {
      await testStep(`${rung.title}, nothing beside it: ${alone.join(', ')}`, async () => {
        // A machine that has been at work for long has less room, and those beside it take their share even when idle.
        if (together.length > 0) for (const machine of machines.splice(0)) await machine.shutdown()
        return run(rung, alone, 0)
      })
    }
  } finally {
    for (const machine of machines) await machine.shutdown()
  }
}

async function main(request: TestRequest): Promise<void> {
  const { parts, name } = request
  if (parts.has('static')) {
    await check('lint', 'oxlint', '--type-aware')
    await check('types', 'tsc', '-p', '.')
    await check('unused code', 'knip')
  }
  // Before the unit tests: some of them ask the real daemons, and are left out where those are not there.
  if (RUNGS.some(({ part }) => parts.has(part))) {
    await step('packages of the distribution', async () => {
      await ensurePackages('vm', say)
      return oneCheck(true)
    })
  }
  if (parts.has('unit')) await testStep('unit tests', () => unit(request))
  await machineTests(request)
  if (name === undefined || !nothingRan(tests) || ended.failed > 0) return
  say(`\nno test matches --name ${name}`)
  ended = addTotals(ended, oneCheck(false))
}

let request: TestRequest | undefined
try {
  request = parseTestArguments(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
if (request?.help) process.stdout.write(testHelp)
else if (request) {
  try {
    await main(request)
  } catch (error) {
    // Outside any step, such as the end of the machine: it counts, and what ended before it does too.
    say(error instanceof Error ? error.message : String(error))
    ended = addTotals(ended, oneCheck(false))
  }
  process.exitCode = exitCodeFor(ended)
  close(ended)
}
