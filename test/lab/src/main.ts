/** The `lab` command: the system up in a machine of its own, for anybody's experiments. */
import { copyFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { UserError } from '@vpn-gateway/config'
import { HELP, type LabFlags, parseLabArguments } from './lab-arguments.ts'
import { type LabState, attachState, clearState, readState, requireSame, writeState } from './lab-state.ts'
import { ensureBundles } from './machine/bundles.ts'
import { ensureImages, imagesDirectory } from './machine/images.ts'
import type { ExecOptions, Machine } from './machine/machine.ts'
import { type NativeMachine, enterNative, requireNative } from './machine/native.ts'
import { type VirtualMachine, bootMachine, requireArchitecture } from './machine/vm.ts'
import { programPath } from './paths.ts'

const began = performance.now()
const log = (line: string): void => {
  process.stderr.write(`[${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s] ${line}\n`)
}
const toTerminal: NonNullable<ExecOptions['onOutput']> = (text, stream) => void process[stream].write(text)
const toStderr: NonNullable<ExecOptions['onOutput']> = (text) => void process.stderr.write(text)

/** The machine that this command has to end when it is interrupted. */
let owned: Machine | undefined
const interrupted = new AbortController()
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    if (interrupted.signal.aborted) process.exit(code)
    interrupted.abort()
    // A command that runs inside is told first; a machine that only this command uses need not be left in order.
    void (owned?.shutdown() ?? new Promise((done) => setTimeout(done, 1000))).finally(() => process.exit(code))
  })
}

async function startMachine(flags: LabFlags, detached: boolean): Promise<VirtualMachine | NativeMachine> {
  if (flags.native) await requireNative(log)
  else requireArchitecture()
  if (!flags.noLab) await ensureBundles(log)
  if (flags.images) await ensureImages(log)
  if (flags.native) return enterNative({ log, detached })
  return bootMachine({
    log,
    detached,
    ...(flags.memoryMiB === undefined ? {} : { memoryMiB: flags.memoryMiB }),
    ...(flags.noKvm ? { accelerator: 'tcg' } : {}),
  })
}

/** Asks the program inside, which knows the system; its words are for the reader's eyes. */
async function inside(machine: Machine, order: readonly string[], onOutput: typeof toStderr): Promise<number> {
  const { exitCode } = await machine.exec([process.execPath, programPath('lab'), ...order], { onOutput })
  return exitCode
}

async function bringUp(machine: Machine, { single, images }: LabFlags): Promise<void> {
  log('bringing the lab up')
  const order = ['up', ...(single ? ['--single'] : []), ...(images ? ['--images', imagesDirectory()] : [])]
  const exitCode = await inside(machine, order, toStderr)
  if (exitCode !== 0) throw new Error(`the lab did not come up: exit code ${exitCode}`)
  log('the lab is up')
}

const stateOf = (machine: VirtualMachine | NativeMachine, flags: LabFlags): LabState => {
  const { single, images, noKvm, memoryMiB } = flags
  const lab = !flags.noLab
  const common = {
    lab,
    since: new Date().toISOString(),
    single: lab && single,
    images: lab && images,
    noKvm,
    ...(memoryMiB === undefined ? {} : { memoryMiB }),
  }
  return 'accelerator' in machine
    ? { ...common, kind: 'vm', address: machine.address }
    : { ...common, kind: 'native', address: machine.address }
}

async function up(flags: LabFlags): Promise<number> {
  const running = await readState()
  if (running) requireSame(running, flags)
  if (running && (running.lab || flags.noLab)) {
    log('it is up already')
    return 0
  }
  if (running) {
    await ensureBundles(log)
    if (flags.images) await ensureImages(log)
    await bringUp(attachState(running), flags)
    await writeState({ ...running, lab: true, single: flags.single, images: flags.images })
    return 0
  }
  const machine = await startMachine(flags, true)
  owned = machine
  try {
    if (!flags.noLab) await bringUp(machine, flags)
    await writeState(stateOf(machine, flags))
    machine.release()
  } catch (error) {
    await machine.shutdown()
    throw error
  }
  owned = undefined
  log('ready: try npm run lab -- status, or npm run lab -- exec client-0 -- ip route')
  return 0
}

async function down(): Promise<number> {
  const running = await readState()
  if (running) await attachState(running).shutdown()
  await clearState()
  log(running ? 'the lab is down' : 'no lab was up')
  return 0
}

async function status(): Promise<number> {
  const running = await readState()
  if (!running) {
    process.stdout.write('no lab is up\n')
    return 1
  }
  const pid = running.kind === 'vm' ? running.address.main.pid : running.address.holder.pid
  const what = running.kind === 'vm' ? 'virtual machine' : 'namespaces on this machine'
  process.stdout.write(`${what}, process ${pid}, up since ${running.since}${running.lab ? '' : ', without the lab'}\n`)
  return running.lab ? inside(attachState(running), ['status'], toTerminal) : 0
}

/** Namespaces are files in /run/netns; without this check `ip` would only say that it cannot open one. */
const ENTER = `[ -e "/run/netns/$1" ] || { echo "lab exec: no host $1; there are: $(ls /run/netns 2>/dev/null | tr '\\n' ' ')vm" >&2; exit 2; }
exec ip netns exec "$@"`

async function exec(host: string, argv: readonly [string, ...string[]]): Promise<number> {
  const running = await readState()
  if (!running) throw new UserError('lab exec: no lab is up; start one with npm run lab -- up')
  const command: [string, ...string[]] = host === 'vm' ? [...argv] : ['sh', '-c', ENTER, 'sh', host, ...argv]
  const options = { onOutput: toTerminal, signal: interrupted.signal, ...terminal() }
  return (await attachState(running).exec(command, options)).exitCode
}

async function run(flags: LabFlags, script: string, args: readonly string[]): Promise<number> {
  // npm starts us at the repository's root; what the user typed is relative to where they typed it.
  const path = resolve(process.env['INIT_CWD'] ?? '.', script)
  if (!(await stat(path).catch(() => undefined))?.isFile()) throw new UserError(`lab run: there is no script ${path}`)
  const running = await readState()
  if (running) requireSame(running, flags)
  const machine = running ? attachState(running) : await startMachine(flags, false)
  if (!running) owned = machine
  try {
    if (!(running?.lab ?? flags.noLab) && !flags.noLab) await bringUp(machine, flags)
    const name = `script-${process.pid}-${basename(path)}`
    await copyFile(path, join(machine.share.host, name))
    const options = { onOutput: toTerminal, signal: interrupted.signal, ...terminal() }
    return (await machine.exec(['bash', join(machine.share.guest, name), ...args], options)).exitCode
  } finally {
    if (!running) await machine.shutdown()
  }
}

const terminal = (): Pick<ExecOptions, 'env'> => (process.env['TERM'] ? { env: { TERM: process.env['TERM'] } } : {})

async function main(args: readonly string[]): Promise<number> {
  const request = parseLabArguments(args)
  switch (request.command) {
    case 'help':
      process.stdout.write(HELP)
      return 0
    case 'up':
      return up(request.flags)
    case 'down':
      return down()
    case 'status':
      return status()
    case 'exec':
      return exec(request.host, request.argv)
    case 'run':
      return run(request.flags, request.script, request.args)
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UserError) {
    for (const problem of error.problems) process.stderr.write(`${problem}\n`)
    process.exitCode = 2
  } else {
    process.stderr.write(`lab: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
