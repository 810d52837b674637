/** `npm run demo` and its like: boots a machine, brings the system up in it, and tells a story with figures. */
import { randomInt } from 'node:crypto'
import { copyFile, cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { UserError } from '@vpn-gateway/config'
import type { Accelerator } from '@vpn-gateway/lab/machine/accelerator.ts'
import { ensureBundles } from '@vpn-gateway/lab/machine/bundles.ts'
import { ensurePackages } from '@vpn-gateway/lab/machine/packages.ts'
import { bootMachine, requireArchitecture, type VirtualMachine } from '@vpn-gateway/lab/machine/vm.ts'
import { help, parseDemoArguments, type DemoRequest } from './arguments.ts'
import { parseTrace, renderTrace } from './chaos/trace.ts'
import { requireWritable, typedPath, writeJson } from './json-file.ts'
import type { ChaosResult, LeakResult, Message, StoryResult } from './message.ts'
import { createScreen, picture, type Screen } from './screen.ts'

const root = resolve(import.meta.dirname, '../../..')
let machine: VirtualMachine | undefined

async function main(args: readonly string[]): Promise<number> {
  const request = parseDemoArguments(args)
  if (request.help) {
    process.stdout.write(help)
    return 0
  }
  if (request.json !== undefined) await requireWritable(request.json)
  if (request.replay !== undefined) await requireTrace(request.replay)
  const screen = createScreen(process.stdout)
  let result: StoryResult | LeakResult =
    request.story === 'leaks' ? { cases: [], ok: false } : { events: [], spread: {}, ok: false }
  try {
    process.stdout.write(`vpn-gateway: chosen pods reach the internet through several VPN tunnels\n${picture}`)
    screen.show({
      type: 'chapter',
      title: 'A machine of its own',
      text: 'The distribution’s kernel over this machine’s own files; nothing here is changed.',
    })
    await prepare(request, screen)
    result = await tell(request, screen)
    if (!result.ok) await keepLogs(screen)
    if (!result.ok && 'chaos' in result && result.chaos !== undefined) await keepTrace(result.chaos, request, screen)
    return result.ok ? 0 : 1
  } finally {
    screen.end()
    // Also of a demo that came to nothing: the file may still tell of the one before.
    if (request.json !== undefined) await writeJson(request.json, result)
    await machine?.shutdown()
  }
}

const hows: Record<Accelerator, string> = {
  kvm: 'with KVM',
  uml: 'as a program of this machine, slower than hardware',
  tcg: 'emulated, many times slower than hardware',
}

async function prepare({ noKvm }: DemoRequest, screen: Screen): Promise<void> {
  const began = performance.now()
  const log = (text: string) => screen.show({ type: 'progress', text })
  requireArchitecture()
  // First of all, while nothing moves on the screen: sudo may have a question.
  await ensurePackages('vm', log)
  log('building the programs')
  await ensureBundles(log)
  machine = await bootMachine({ log, ...(noKvm ? { accelerator: 'tcg' as const } : {}) })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  screen.show({ type: 'line', text: `up after ${seconds} s, ${hows[machine.accelerator]}` })
}

/** Runs the story inside and shows what it tells; what it says outside of the protocol is shown as it is. */
async function tell(request: DemoRequest, screen: Screen): Promise<StoryResult | LeakResult> {
  if (machine === undefined) throw new Error('no machine')
  const { story, flows, only } = request
  screen.show({ type: 'progress', text: 'starting inside' })
  const output = new PassThrough()
  let result: StoryResult | LeakResult | undefined
  const lines = createInterface({ input: output })
  lines.on('line', (text) => {
    const message = parseMessage(text)
    if (message.type === 'result') result = message.result
    screen.show(message)
  })
  const closed = new Promise((done) => lines.once('close', done))
  const { exitCode } = await machine.exec(
    [
      process.execPath,
      join(root, `dist/lab-${story}.mjs`),
      '--flows',
      String(flows),
      '--logs',
      join(machine.share.guest, 'logs'),
      ...only.flatMap((name) => ['--only', name]),
      ...(story === 'chaos' ? await chaosArguments(request, machine) : []),
    ],
    {
      onOutput: (text, stream) => (stream === 'stdout' ? output.write(text) : process.stderr.write(text)),
    },
  )
  output.end()
  await closed
  if (result === undefined) throw new Error(`the story ended without a result: exit code ${exitCode}`)
  return result
}

/** A trace is handed in by the share: what else is on this machine may have changed since the boot. */
async function chaosArguments({ minutes, seed, replay }: DemoRequest, { share }: VirtualMachine): Promise<string[]> {
  if (replay === undefined) return ['--minutes', String(minutes), '--seed', String(seed ?? randomInt(2 ** 32))]
  const name = 'trace.json'
  await copyFile(typedPath(replay), join(share.host, name))
  return ['--replay', join(share.guest, name)]
}

/** Throws a `UserError` that names what is wrong with a trace, before a machine is booted for it. */
async function requireTrace(path: string): Promise<void> {
  const text = await readFile(typedPath(path), 'utf8').catch((error: unknown) => {
    throw new UserError(`--replay: ${path}: ${error instanceof Error ? error.message : String(error)}`)
  })
  parseTrace(text, path)
}

const traceFile = join(root, 'dist/chaos-trace.json')

async function keepTrace({ seed, trace }: ChaosResult, { flows }: DemoRequest, screen: Screen): Promise<void> {
  // Before the first fault there is nothing to play again.
  if (trace.length === 0) return
  await writeFile(traceFile, renderTrace(trace))
  const same = seed === undefined ? '' : `; seed ${seed} chooses the same faults`
  screen.show({
    type: 'line',
    text: `to play it again: npm run chaos -- --replay ${traceFile} --flows ${flows}${same}`,
  })
}

function parseMessage(text: string): Message {
  try {
    return JSON.parse(text) as Message
  } catch {
    return { type: 'line', text }
  }
}

const logs = join(root, 'dist/demo-logs')

/** What the agents said, for whoever wants to know why a promise was broken. */
async function keepLogs(screen: Screen): Promise<void> {
  if (machine === undefined) return
  await rm(logs, { recursive: true, force: true })
  await cp(join(machine.share.host, 'logs'), logs, { recursive: true }).catch(() => undefined)
  screen.show({ type: 'line', text: `the logs of all agents are in ${logs}` })
}

let interrupted = false
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => {
    interrupted = true
    void (machine?.shutdown() ?? Promise.resolve()).finally(() => process.exit(code))
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (interrupted) {
    // What broke off with the machine is no news.
  } else if (error instanceof UserError) {
    for (const problem of error.problems) console.error(`demo: ${problem}`)
    process.exitCode = 2
  } else {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
