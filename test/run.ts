/** What `npm test` does: every check and every rung of tests, and a last line with the true totals. */
import { type ChildProcess, spawn } from 'node:child_process'
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
  },
  {
    part: 'lab',
    directory: 'test/e2e',
    title: 'the whole system in the lab',
    // Chaos until what docs/chaos.md says that it found was played again.
    onRequest: ['chaos.test.ts', 'failover.test.ts', 'leaks.test.ts'],
    notEmulated: ['command.test.ts', 'images.test.ts', 'single.test.ts', 'story.test.ts'],
  },
]

async function inMachine(machine: VirtualMachine, request: TestRequest, rung: Rung): Promise<Totals> {
  const { part: project } = rung
  const { chosen: files, left } = await filesFor(machine, request, rung)
  const report = `${project}.json`
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const cwd = join(root, 'dist/test', project)
  const config = ['--root', cwd, '--config', join(cwd, 'vitest.config.mjs'), '--configLoader=native']
  // vitest takes parts of names; the bundles have the names of the files that they are made of, but for the last part.
  const names = narrowed({ ...request, files: files.map((file) => basename(file, 'ts')) })
  const options = [...vitestArguments(join(machine.share.guest, report), 'verbose'), ...config, ...names]
  say(`starting ${files.length} test files inside`)
  if (left.length > 0) say(`left to \`npm test -- ${project}\`: ${left.join(', ')}`)
  const { exitCode } = await machine.exec([process.execPath, vitest, ...options], {
    env: { ...colour, VPN_GATEWAY_IMAGES: imagesDirectory() },
    onOutput: (text, stream) => void process[stream].write(text),
  })
  return vitestTotals(await readFile(join(machine.share.host, report), 'utf8').catch(() => undefined), exitCode)
}

/** Test files of a rung that were asked for. */
const filesOf = async ({ files }: TestRequest, { directory }: Rung): Promise<string[]> =>
  (await listTests(directory)).filter((file) => files.length === 0 || files.some((text) => file.includes(text)))

/** Those that run in a machine, and those that are left out there. */
async function filesFor(
  { accelerator }: VirtualMachine,
  request: TestRequest,
  rung: Rung,
): Promise<{ chosen: string[]; left: string[] }> {
  const left = request.everyday ? [...rung.onRequest, ...(accelerator === 'tcg' ? rung.notEmulated : [])] : []
  const files = await filesOf(request, rung)
  return { chosen: files.filter((file) => !left.includes(file)), left }
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

  const boot = (): Promise<VirtualMachine> => bootMachine({ log: say, ...(noKvm ? { accelerator: 'tcg' } : {}) })
  const machines: VirtualMachine[] = []
  await step('machine with IPVS and WireGuard', async () => {
    const first = await boot()
    machines.push(first)
    // A user-mode kernel has one processor: on two each rung has a machine of its own, and they run side by side.
    if (first.accelerator === 'uml' && availableParallelism() >= rungs.length) {
      while (machines.length < rungs.length) machines.push(await boot())
    }
    return NOTHING
  })
  const [first] = machines
  if (first === undefined) return
  const inTurn = machines.length < rungs.length
  const files = await Promise.all(rungs.map((rung) => filesFor(first, request, rung)))
  try {
    if (files.some(({ chosen }) => chosen.includes('images.test.ts'))) {
      await step('images', async () => {
        await ensureImages(say)
        return oneCheck(true)
      })
    }
    const run = (rung: Rung, machine = first) =>
      testStep(rung.title, async () => {
        try {
          return await inMachine(machine, request, rung)
        } catch (error) {
          // The user-mode kernel of 6.12 has died in fork(2), in exit_mmap below copy_process: no fault of what is tested.
          if (!(error instanceof Error) || !error.message.includes('Kernel panic')) throw error
          say(`${error.message}\n\nthe kernel of the machine died: everything once more in another one`)
          const another = await boot()
          machines.push(another)
          return inMachine(another, request, rung)
        }
      })
    if (inTurn) for (const rung of rungs) await run(rung)
    else await Promise.all(rungs.map((rung, index) => run(rung, machines[index])))
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
