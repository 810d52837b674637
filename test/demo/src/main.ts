/** `npm run demo`: boots a machine, brings the system up in it, and tells the story with figures. */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { UserError } from '@vpn-gateway/config'
import { ensureBundles } from '@vpn-gateway/lab/machine/bundles.ts'
import { bootMachine, type VirtualMachine } from '@vpn-gateway/lab/machine/vm.ts'
import { help, parseDemoArguments, type DemoRequest } from './arguments.ts'
import type { DemoResult, Message } from './message.ts'
import { createScreen, picture, type Screen } from './screen.ts'

const root = resolve(import.meta.dirname, '../../..')
let machine: VirtualMachine | undefined

async function main(args: readonly string[]): Promise<number> {
  const request = parseDemoArguments(args)
  if (request.help) {
    process.stdout.write(help)
    return 0
  }
  const screen = createScreen(process.stdout)
  try {
    process.stdout.write(`vpn-gateway: chosen pods reach the internet through several VPN tunnels\n${picture}`)
    screen.show({
      type: 'chapter',
      title: 'A machine of its own',
      text: 'The distribution’s stock kernel over this machine’s own files; nothing here is changed.',
    })
    await prepare(request, screen)
    const result = await tell(request, screen)
    if (request.json !== undefined) await writeJson(request.json, result)
    return result.ok ? 0 : 1
  } finally {
    screen.end()
    await machine?.shutdown()
  }
}

async function prepare({ noKvm }: DemoRequest, screen: Screen): Promise<void> {
  const began = performance.now()
  const log = (text: string) => screen.show({ type: 'progress', text })
  log('building the programs')
  await ensureBundles(log)
  machine = await bootMachine({ log, ...(noKvm ? { accelerator: 'tcg' as const } : {}) })
  const how = machine.accelerator === 'kvm' ? 'with KVM' : 'emulated, several times slower than hardware'
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  screen.show({ type: 'line', text: `up after ${seconds} s, ${how}` })
}

/** Runs the story inside and shows what it tells; what it says outside of the protocol is shown as it is. */
async function tell({ flows }: DemoRequest, screen: Screen): Promise<DemoResult> {
  if (machine === undefined) throw new Error('no machine')
  const output = new PassThrough()
  let result: DemoResult | undefined
  const lines = createInterface({ input: output })
  lines.on('line', (text) => {
    const message = parseMessage(text)
    if (message.type === 'result') result = message.result
    screen.show(message)
  })
  const closed = new Promise((done) => lines.once('close', done))
  const { exitCode } = await machine.exec(
    [process.execPath, join(root, 'dist/lab-demo.mjs'), '--flows', String(flows)],
    {
      onOutput: (text, stream) => (stream === 'stdout' ? output.write(text) : process.stderr.write(text)),
    },
  )
  output.end()
  await closed
  if (result === undefined) throw new Error(`the story ended without a result: exit code ${exitCode}`)
  return result
}

function parseMessage(text: string): Message {
  try {
    return JSON.parse(text) as Message
  } catch {
    return { type: 'line', text }
  }
}

/** npm starts us at the repository's root; a path that the user typed is relative to where they typed it. */
async function writeJson(path: string, result: DemoResult): Promise<void> {
  const target = resolve(process.env['INIT_CWD'] ?? '.', path)
  try {
    await writeFile(target, `${JSON.stringify(result, null, 2)}\n`)
  } catch (error) {
    throw new UserError(`--json: ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => void (machine?.shutdown() ?? Promise.resolve()).finally(() => process.exit(code)))
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UserError) {
    for (const problem of error.problems) console.error(`demo: ${problem}`)
    process.exitCode = 2
  } else {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
