/** A machine of its own over this machine's own files: the distribution's kernel under QEMU, or as a user-mode kernel. */
import { spawn, type StdioOptions } from 'node:child_process'
import { closeSync, constants as modes, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { UserError } from '@vpn-gateway/config'
import { execa } from 'execa'
import { type Accelerator, chooseAccelerators, rememberFailure } from './accelerator.ts'
import { cacheDirectory } from './cache.ts'
import { clockRate, isTrueClock } from './clock.ts'
import { createExec } from './jobs.ts'
import { type Kernel, ensureKernel } from './kernel.ts'
import { REQUIRED_MODULES, USEFUL_MODULES } from './kernel-modules.ts'
import type { Log, Machine } from './machine.ts'
import { ensurePackages } from './packages.ts'
import { type ProcessIdentity, identifyProcess, isRunning, signalProcess } from './process-identity.ts'
import { qemuArguments } from './qemu.ts'
import { ORDERS, umlArguments } from './uml.ts'
import { ensureUserModeKernel } from './user-mode-kernel.ts'

export interface BootOptions {
  /** MiB of memory; 4096 unless said, less where the host has little. Taken only as it is used. */
  memoryMiB?: number
  /** Processors; as many as the host has, four at most, unless said. */
  cpus?: number
  /** Directory to share; a temporary one, removed with the machine, unless said. */
  shareDir?: string
  /** KVM where it works, else a user-mode kernel, else TCG, unless said. */
  accelerator?: Accelerator
  /** Whether the machine outlives this process. Otherwise the kernel kills it with us, however we die. */
  detached?: boolean
  /** Per-user cache; `cacheDirectory()` unless said. */
  cache?: string
  log: Log
}

/** What another process needs to use a machine that runs already; plain data. */
export interface MachineAddress {
  /** QEMU, or the user-mode kernel. */
  readonly main: ProcessIdentity
  /** Directory of the machine's own files. */
  readonly directory: string
  /** The share as the host sees it. */
  readonly share: string
}

export interface VirtualMachine extends Machine {
  readonly address: MachineAddress
  readonly accelerator: Accelerator
  /** Seconds from the start of its main process until the machine could run its first command. */
  readonly bootSeconds: number
  /** Lets the machine outlive this process, which it then has to be found by its address for. No use unless `detached`. */
  release(): void
}

/** Where the share is mounted inside. */
const GUEST_SHARE = '/run/machine'
/** A kernel that runs natively says something within a second; a KVM that is not one never does. */
const FIRST_SIGN_MS = 10_000
const READY_MS = { kvm: 60_000, uml: 60_000, tcg: 180_000 }
const CONSOLE_LINES = 15
/** Boots until a clock that runs wrong is given up. */
const CLOCK_TRIES = 3

const GUEST_START = new URL('guest/start.sh', import.meta.url)
const GUEST_INIT = new URL('guest/init.sh', import.meta.url)

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0

function lastLines(path: string, count: number): string[] {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // Nothing was said.
  }
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== '')
  // A kernel that died says why before it prints its stack, which can be longer than what is shown.
  const death = lines.findLastIndex((line) => /Kernel panic|BUG:|Oops/.test(line))
  return death === -1 ? lines.slice(-count) : lines.slice(Math.max(0, Math.min(death - 2, lines.length - count)))
}

/** Why a machine failed: what its main process said and what was last on the guest's console. */
function lastWords(directory: string, what: string): string {
  const said = ['machine.log', 'console.log'].flatMap((file) => lastLines(join(directory, file), CONSOLE_LINES))
  return [what, ...said.map((line) => `  | ${line}`)].join('\n')
}

/** Removes the directories of machines whose main process and whose starter are gone, as after a SIGKILL. */
async function sweep(machines: string): Promise<void> {
  for (const name of await readdir(machines).catch(() => [])) {
    const directory = join(machines, name)
    const found = await readFile(join(directory, 'process.json'), 'utf8').catch(() => undefined)
    const inUse = found
      ? isRunning(JSON.parse(found) as ProcessIdentity)
      : identifyProcess(Number.parseInt(name, 10)) !== undefined
    if (!inUse) await rm(directory, { recursive: true, force: true })
  }
}

/** Uses a machine that this or another process booted. `exec` rejects once it is gone. */
export function attachMachine(address: MachineAddress): Machine {
  const { main, directory, share } = address
  const exec = createExec({
    share,
    ended: () => (isRunning(main) ? undefined : lastWords(directory, 'the machine has ended')),
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
        if (!signalProcess(main, signal)) break
        for (let waited = 0; waited < 3000 && isRunning(main); waited += 20) await delay(20)
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

interface Parts {
  kernel: Kernel
  memoryMiB: number
  cpus: number
  share: string
  directory: string
  console: string
  doorbell: string
}

/** The command that is the machine. */
async function commandOf(accelerator: Accelerator, parts: Parts): Promise<string[]> {
  if (accelerator !== 'uml') return ['qemu-system-x86_64', ...qemuArguments({ accelerator, ...parts })]
  const init = join(parts.share, 'init.sh')
  await copyFile(GUEST_INIT, init)
  return [parts.kernel.image, ...umlArguments({ ...parts, init })]
}

/** Starts the machine and waits until the guest takes orders; throws with the guest's last words when it does not. */
async function start({ accelerator, kernel, directory, share, options }: Attempt): Promise<VirtualMachine> {
  const files = { console: join(directory, 'console.log'), doorbell: join(directory, 'doorbell') }
  const ready = join(share, 'ready')
  const errors = join(directory, 'machine.log')
  await rm(ready, { force: true })
  await writeFile(files.console, '')
  await execa('mkfifo', ['-m', '600', `${files.doorbell}.in`, `${files.doorbell}.out`])
  const memoryMiB = options.memoryMiB ?? Math.min(4096, Math.floor((totalmem() / 2 ** 20) * 0.6))
  const cpus = options.cpus ?? Math.min(4, availableParallelism())
  const command = await commandOf(accelerator, { kernel, memoryMiB, cpus, share, directory, ...files })
  // The parent-death signal reaches it even if we are killed in a way that runs no handler.
  if (options.detached !== true) command.unshift('setpriv', '--pdeathsig', 'KILL')

  const began = performance.now()
  const log = openSync(errors, 'w', 0o600)
  const stdio: StdioOptions = ['ignore', log, log]
  const ours = [log]
  if (accelerator === 'uml') {
    const said = openSync(files.console, 'w', 0o600)
    // Open for reading and writing, so that it never ends.
    const orders = openSync(`${files.doorbell}.in`, 'r+')
    const nowhere = openSync('/dev/null', 'w')
    stdio[1] = said
    stdio[ORDERS] = orders
    stdio.push(nowhere)
    ours.push(said, orders, nowhere)
  }
  // A session of its own: Ctrl-C is for us to handle.
  const child = spawn(command[0] as string, command.slice(1), {
    detached: true,
    stdio,
    cwd: '/',
    // Its memory is a file, which must not be written to a disk.
    env: { ...process.env, TMPDIR: '/dev/shm' },
  })
  ours.forEach(closeSync)
  // Before anything is awaited: whoever sweeps has to see that it runs, and an interruption has to end it.
  const main = child.pid === undefined ? undefined : identifyProcess(child.pid)
  if (main) writeFileSync(join(directory, 'process.json'), JSON.stringify(main))
  const end = (): void => {
    if (main) signalProcess(main, 'SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', end)
  const discard = async (): Promise<void> => {
    if (main) signalProcess(main, 'SIGKILL')
    process.off('exit', end)
    for (const side of ['in', 'out']) await rm(`${files.doorbell}.${side}`, { force: true })
  }
  const failure = new Promise<never>((_, reject) => child.once('error', reject))
  failure.catch(() => {})
  await Promise.race([failure, new Promise((resolve) => child.once('spawn', resolve))]).catch(
    async (error: unknown) => {
      await discard()
      throw error
    },
  )
  child.unref()
  const gone = (): boolean => main === undefined || !isRunning(main)

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
  if (!main) return fail('ended while it booted')
  // A user-mode kernel has the host's clock: there is nothing that it could have measured wrong.
  const rate = accelerator === 'uml' ? 1 : await clockRate(share)
  if (!isTrueClock(rate)) {
    await discard()
    throw new WrongClockError(`the virtual machine's clock runs at ${rate.toFixed(2)} of the true speed`)
  }
  const address = { main, directory, share }
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
 * Boots a machine, installing packages and fetching or building the kernel first where they are missing. Falls back from KVM
 * to a user-mode kernel and from that to emulation by itself. Throws a `UserError` for what the user can mend, an `Error` with
 * the guest's console otherwise.
 */
export async function bootMachine(options: BootOptions): Promise<VirtualMachine> {
  const { log, cache = cacheDirectory() } = options
  requireArchitecture()
  await ensurePackages('vm', log)

  const machines = join(cache, 'machines')
  await mkdir(machines, { recursive: true, mode: 0o700 })
  await sweep(machines)
  const directory = await mkdtemp(join(machines, `${process.pid}-`))
  const share = options.shareDir ?? join(directory, 'share')
  await mkdir(join(share, 'jobs'), { recursive: true })
  await copyFile(GUEST_START, join(share, 'start.sh'))
  await writeFile(join(share, 'modules-required'), REQUIRED_MODULES.join(' '))
  await writeFile(join(share, 'modules-useful'), USEFUL_MODULES.join(' '))

  const boot = async (accelerator: Accelerator): Promise<VirtualMachine> => {
    const kernel = await kernelFor(accelerator, cache, log)
    await writeFile(join(share, 'modules-path'), kernel.modules)
    log(`booting Linux ${kernel.version} ${ways[accelerator]}`)
    return startInTime({ accelerator, kernel, directory, share, options }).catch(async (error: unknown) => {
      // What does not start here will not the next time either; a download may.
      if (accelerator !== 'tcg' && !(error instanceof WrongClockError)) await rememberFailure(cache, accelerator)
      throw error
    })
  }
  /** Each way in turn until one works: what fails by its nature fails at once. */
  const bootAny = async ([first, ...others]: readonly Accelerator[]): Promise<VirtualMachine> => {
    if (first === undefined) throw new Error('there is no way to boot a machine')
    return boot(first).catch(async (error: Error) => {
      if (others.length === 0 || error instanceof WrongClockError) throw error
      log(`${names[first]} does not work here: ${error.message.split('\n')[0]}`)
      return bootAny(others)
    })
  }
  try {
    return await bootAny(options.accelerator === undefined ? await chooseAccelerators(cache) : [options.accelerator])
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

const names: Record<Accelerator, string> = { kvm: 'KVM', uml: 'a user-mode kernel', tcg: 'emulation' }
const ways: Record<Accelerator, string> = {
  kvm: 'under QEMU (KVM)',
  uml: 'as a user-mode kernel',
  tcg: 'under QEMU (software emulation)',
}

async function kernelFor(accelerator: Accelerator, cache: string, log: Log): Promise<Kernel> {
  if (accelerator !== 'uml') return ensureKernel(cache, log)
  await ensurePackages('user-mode', log)
  return ensureUserModeKernel(cache, log)
}
