/** A virtual machine that runs the distribution's stock kernel over this machine's own files. */
import { spawn } from 'node:child_process'
import { closeSync, constants as modes, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { UserError } from '@vpn-gateway/config'
import { execa } from 'execa'
import { type Accelerator, chooseAccelerator, rememberKvmFailure } from './accelerator.ts'
import { cacheDirectory } from './cache.ts'
import { clockRate, isTrueClock } from './clock.ts'
import { createExec } from './jobs.ts'
import { type Kernel, ensureKernel } from './kernel.ts'
import { REQUIRED_MODULES, USEFUL_MODULES } from './kernel-modules.ts'
import type { Log, Machine } from './machine.ts'
import { ensurePackages } from './packages.ts'
import { type ProcessIdentity, identifyProcess, isRunning, signalProcess } from './process-identity.ts'
import { qemuArguments } from './qemu.ts'

export interface BootOptions {
  /** MiB of memory; 4096 unless said, less where the host has little. Taken only as it is used. */
  memoryMiB?: number
  /** Processors; as many as the host has, four at most, unless said. */
  cpus?: number
  /** Directory to share; a temporary one, removed with the machine, unless said. */
  shareDir?: string
  /** KVM where it works, else TCG, unless said. */
  accelerator?: Accelerator
  /** Whether the machine outlives this process. Otherwise the kernel kills it with us, however we die. */
  detached?: boolean
  /** Per-user cache; `cacheDirectory()` unless said. */
  cache?: string
  log: Log
}

/** What another process needs to use a machine that runs already; plain data. */
export interface MachineAddress {
  readonly qemu: ProcessIdentity
  /** Directory of the machine's own files. */
  readonly directory: string
  /** The share as the host sees it. */
  readonly share: string
}

export interface VirtualMachine extends Machine {
  readonly address: MachineAddress
  readonly accelerator: Accelerator
  /** Seconds from the start of QEMU until the machine could run its first command. */
  readonly bootSeconds: number
  /** Lets the machine outlive this process, which it then has to be found by its address for. No use unless `detached`. */
  release(): void
}

/** Where the share is mounted inside. */
const GUEST_SHARE = '/run/machine'
/** A kernel that runs natively says something within a second; a KVM that is not one never does. */
const FIRST_SIGN_MS = 10_000
const READY_MS = { kvm: 60_000, tcg: 180_000 }
const CONSOLE_LINES = 15
/** Boots until a clock that runs wrong is given up. */
const CLOCK_TRIES = 3

const GUEST_START = new URL('guest/start.sh', import.meta.url)

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0

function lastLines(path: string, count: number): string[] {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // Nothing was said.
  }
  return text
    .split(/[\r\n]+/)
    .filter((line) => line.trim() !== '')
    .slice(-count)
}

/** Why a machine failed: what QEMU said and what was last on the guest's console. */
function lastWords(directory: string, what: string): string {
  const said = ['qemu.log', 'console.log'].flatMap((file) => lastLines(join(directory, file), CONSOLE_LINES))
  return [what, ...said.map((line) => `  | ${line}`)].join('\n')
}

/** Removes the directories of machines whose QEMU and whose starter are gone, as after a SIGKILL. */
async function sweep(machines: string): Promise<void> {
  for (const name of await readdir(machines).catch(() => [])) {
    const directory = join(machines, name)
    const qemu = await readFile(join(directory, 'qemu.json'), 'utf8').catch(() => undefined)
    const inUse = qemu
      ? isRunning(JSON.parse(qemu) as ProcessIdentity)
      : identifyProcess(Number.parseInt(name, 10)) !== undefined
    if (!inUse) await rm(directory, { recursive: true, force: true })
  }
}

/** Uses a machine that this or another process booted. `exec` rejects once it is gone. */
export function attachMachine(address: MachineAddress): Machine {
  const { qemu, directory, share } = address
  const exec = createExec({
    share,
    ended: () => (isRunning(qemu) ? undefined : lastWords(directory, 'the machine has ended')),
    async ring(order) {
      // Opening without a reader fails instead of waiting; one write of one line cannot be torn apart by another's.
      const fifo = await open(join(directory, 'doorbell.in'), modes.O_WRONLY | modes.O_NONBLOCK).catch(
        (error: NodeJS.ErrnoException) => {
          throw new Error(lastWords(directory, 'the machine has ended'), { cause: error })
        },
      )
      try {
        await fifo.write(`${order}\n`)
      } finally {
        await fifo.close()
      }
    },
  })
  return {
    kind: 'vm',
    share: { host: share, guest: GUEST_SHARE },
    exec,
    async shutdown() {
      // Nothing inside is worth an orderly end: what it wrote to the share is written.
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        if (!signalProcess(qemu, signal)) break
        for (let waited = 0; waited < 3000 && isRunning(qemu); waited += 20) await delay(20)
      }
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The machine booted and lives in a time of its own. */
class WrongClockError extends Error {}

interface Attempt {
  accelerator: Accelerator
  kernel: Kernel
  directory: string
  share: string
  options: BootOptions
}

/** Starts QEMU and waits until the guest takes orders; throws with the guest's last words when it does not. */
async function start({ accelerator, kernel, directory, share, options }: Attempt): Promise<VirtualMachine> {
  const files = { console: join(directory, 'console.log'), doorbell: join(directory, 'doorbell') }
  const ready = join(share, 'ready')
  const errors = join(directory, 'qemu.log')
  await rm(ready, { force: true })
  await writeFile(files.console, '')
  await execa('mkfifo', ['-m', '600', `${files.doorbell}.in`, `${files.doorbell}.out`])
  const memoryMiB = options.memoryMiB ?? Math.min(4096, Math.floor((totalmem() / 2 ** 20) * 0.6))
  const cpus = options.cpus ?? Math.min(4, availableParallelism())
  const command = ['qemu-system-x86_64', ...qemuArguments({ accelerator, kernel, memoryMiB, cpus, share, ...files })]
  // The parent-death signal reaches QEMU even if we are killed in a way that runs no handler.
  if (options.detached !== true) command.unshift('setpriv', '--pdeathsig', 'KILL')

  const began = performance.now()
  const log = openSync(errors, 'w', 0o600)
  // A session of its own: Ctrl-C is for us to handle.
  const child = spawn(command[0] as string, command.slice(1), { detached: true, stdio: ['ignore', log, log], cwd: '/' })
  closeSync(log)
  // Before anything is awaited: whoever sweeps has to see that it runs, and an interruption has to end it.
  const qemu = child.pid === undefined ? undefined : identifyProcess(child.pid)
  if (qemu) writeFileSync(join(directory, 'qemu.json'), JSON.stringify(qemu))
  const end = (): void => {
    if (qemu) signalProcess(qemu, 'SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', end)
  const failure = new Promise<never>((_, reject) => child.once('error', reject))
  failure.catch(() => {})
  await Promise.race([failure, new Promise((resolve) => child.once('spawn', resolve))]).catch((error: unknown) => {
    process.off('exit', end)
    throw error
  })
  child.unref()
  const gone = (): boolean => qemu === undefined || !isRunning(qemu)

  const discard = async (): Promise<void> => {
    if (qemu) signalProcess(qemu, 'SIGKILL')
    process.off('exit', end)
    for (const side of ['in', 'out']) await rm(`${files.doorbell}.${side}`, { force: true })
  }
  const fail = async (why: string): Promise<never> => {
    await discard()
    throw new Error(lastWords(directory, `the virtual machine (${accelerator}) ${why}`))
  }
  for (;;) {
    if ((await sizeOf(ready)) > 0) break
    if (gone()) await fail('ended while it booted')
    const waited = performance.now() - began
    if (accelerator === 'kvm' && waited > FIRST_SIGN_MS && (await sizeOf(files.console)) === 0) {
      await fail(`showed no sign of life for ${FIRST_SIGN_MS / 1000} s`)
    }
    if (waited > READY_MS[accelerator]) await fail(`was not ready after ${READY_MS[accelerator] / 1000} s`)
    await delay(50)
  }
  if (!qemu) return fail('ended while it booted')
  const rate = await clockRate(share)
  if (!isTrueClock(rate)) {
    await discard()
    throw new WrongClockError(`the virtual machine's clock runs at ${rate.toFixed(2)} of the true speed`)
  }
  const address = { qemu, directory, share }
  const bootSeconds = (performance.now() - began) / 1000
  return { ...attachMachine(address), address, accelerator, bootSeconds, release: () => void process.off('exit', end) }
}

/** The same until the machine keeps true time: a busy host may disturb one boot's measuring, hardly three in a row. */
async function startInTime(attempt: Attempt, tries = CLOCK_TRIES): Promise<VirtualMachine> {
  try {
    return await start(attempt)
  } catch (error) {
    if (!(error instanceof WrongClockError) || tries <= 1) throw error
    attempt.options.log(`${error.message}, which a busy machine does to it: booting again`)
    return startInTime(attempt, tries - 1)
  }
}

/** Throws a `UserError` unless this is x86-64: QEMU and the kernel that are fetched are for nothing else. */
export function requireArchitecture(architecture: string = process.arch): void {
  if (architecture !== 'x64') throw new UserError(`the lab's virtual machine needs x86-64; this is ${architecture}`)
}

/**
 * Boots a machine, installing packages and fetching the kernel first where they are missing. Falls back from KVM to
 * emulation by itself. Throws a `UserError` for what the user can mend, an `Error` with the guest's console otherwise.
 */
export async function bootMachine(options: BootOptions): Promise<VirtualMachine> {
  const { log, cache = cacheDirectory() } = options
  requireArchitecture()
  await ensurePackages('vm', log)
  const kernel = await ensureKernel(cache, log)

  const machines = join(cache, 'machines')
  await mkdir(machines, { recursive: true, mode: 0o700 })
  await sweep(machines)
  const directory = await mkdtemp(join(machines, `${process.pid}-`))
  const share = options.shareDir ?? join(directory, 'share')
  await mkdir(join(share, 'jobs'), { recursive: true })
  await copyFile(GUEST_START, join(share, 'start.sh'))
  await writeFile(join(share, 'modules-path'), kernel.modules)
  await writeFile(join(share, 'modules-required'), REQUIRED_MODULES.join(' '))
  await writeFile(join(share, 'modules-useful'), USEFUL_MODULES.join(' '))

  const attempt = { kernel, directory, share, options }
  const accelerator = options.accelerator ?? (await chooseAccelerator(cache))
  const describe = (kind: Accelerator): void =>
    log(`booting Linux ${kernel.version} under QEMU (${kind === 'kvm' ? 'KVM' : 'software emulation'})`)
  try {
    describe(accelerator)
    return await startInTime({ ...attempt, accelerator }).catch(async (error: Error) => {
      if (accelerator !== 'kvm' || options.accelerator !== undefined || error instanceof WrongClockError) throw error
      await rememberKvmFailure(cache)
      log(`KVM does not work here: ${error.message.split('\n')[0]}`)
      describe('tcg')
      return startInTime({ ...attempt, accelerator: 'tcg' })
    })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}
