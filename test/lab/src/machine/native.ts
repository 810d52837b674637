/** The machine's own kernel in namespaces of its own: network, mounts and processes; for root, where the modules are. */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as delay } from 'node:timers/promises'
import { UserError } from '@vpn-gateway/config'
import { kernelModulesMissing } from '@vpn-gateway/kernel'
import { execa } from 'execa'
import { repositoryRoot } from '../paths.ts'
import { cacheDirectory } from './cache.ts'
import { insideEnvironment } from './jobs.ts'
import { REQUIRED_MODULES, USEFUL_MODULES } from './kernel-modules.ts'
import type { Log, Machine } from './machine.ts'
import { ensurePackages } from './packages.ts'
import { systemPath } from './system-path.ts'
import { type ProcessIdentity, identifyProcess, isRunning, signalProcess } from './process-identity.ts'

/** What another process needs to use the namespaces; plain data. */
export interface NativeAddress {
  /** The process that holds them; all others in there end with it. */
  readonly holder: ProcessIdentity
  readonly directory: string
}

export interface NativeMachine extends Machine {
  readonly address: NativeAddress
  /** Lets the namespaces outlive this process, which they then have to be found by their address for. */
  release(): void
}

interface NativeOptions {
  /** Whether the namespaces outlive this process. */
  detached?: boolean
  cache?: string
  log: Log
}

/** First process inside. Its own /run keeps named namespaces, locks and pid files apart from the host's. */
const HOLD = `set -e
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/home /run/lock /run/netns
ip link set lo up
echo ready
exec sleep infinity`

const modprobe = async (...args: string[]): Promise<boolean> =>
  (await execa('modprobe', ['-q', ...args], { reject: false, env: { PATH: systemPath() } })).exitCode === 0

/**
 * Installs the packages that are missing, modprobe's among them, and throws a `UserError` unless this is root on a
 * kernel that has, or could load, what the lab needs. Loads nothing.
 */
export async function requireNative(log: Log): Promise<void> {
  if (process.getuid?.() !== 0) throw new UserError('--native needs root; without it a virtual machine is used')
  await ensurePackages('native', log)
  const missing: string[] = []
  for (const name of await kernelModulesMissing(REQUIRED_MODULES)) if (!(await modprobe('-n', name))) missing.push(name)
  if (missing.length > 0) {
    const names = missing.join(', ')
    throw new UserError(`--native: this kernel lacks ${names}; without --native a virtual machine brings its own`)
  }
}

/** Uses namespaces that this or another process made. */
export function attachNative(address: NativeAddress): Machine {
  const { holder, directory } = address
  return {
    kind: 'native',
    share: { host: directory, guest: directory },
    exec(argv, options = {}) {
      const processes = `/proc/${holder.pid}/ns/pid_for_children`
      const enter = [
        '-t',
        String(holder.pid),
        '--net',
        '--mount',
        `--pid=${processes}`,
        `--wd=${options.cwd ?? repositoryRoot()}`,
      ]
      return new Promise((resolve, reject) => {
        if (!isRunning(holder)) return reject(new Error(`${argv.join(' ')}: the machine has ended`))
        const child = spawn('nsenter', [...enter, '--', ...argv], {
          env: { ...insideEnvironment('/run/home'), ...options.env },
          stdio: ['ignore', 'pipe', 'pipe'],
          detached: true,
        })
        const kill = (signal: NodeJS.Signals): void => {
          if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
            try {
              process.kill(-child.pid, signal)
            } catch {
              // It ended in this instant.
            }
          }
        }
        const onAbort = (): void => kill('SIGTERM')
        let expired = false
        const timers =
          options.timeoutMs === undefined
            ? []
            : [
                setTimeout(() => {
                  expired = true
                  kill('SIGTERM')
                }, options.timeoutMs),
                setTimeout(() => kill('SIGKILL'), options.timeoutMs + 3000),
              ]
        options.signal?.addEventListener('abort', onAbort, { once: true })
        for (const stream of ['stdout', 'stderr'] as const) {
          const decoder = new StringDecoder('utf8')
          child[stream].on('data', (chunk: Buffer) => {
            const text = decoder.write(chunk)
            if (text !== '') options.onOutput?.(text, stream)
          })
        }
        const settle = (): void => {
          timers.forEach(clearTimeout)
          options.signal?.removeEventListener('abort', onAbort)
        }
        child.once('error', (error) => {
          settle()
          reject(error)
        })
        child.once('exit', (code, signal) => {
          // A daemon left behind may hold the pipes open: what is in them now is read, its later words are not.
          setTimeout(() => {
            settle()
            child.stdout.destroy()
            child.stderr.destroy()
            if (expired) reject(new Error(`${argv.join(' ')}: did not end within ${(options.timeoutMs ?? 0) / 1000} s`))
            else resolve({ exitCode: code ?? 128 + (signal ? constants.signals[signal] : 0) })
          }, 20)
        })
      })
    },
    async shutdown() {
      if (signalProcess(holder, 'SIGKILL')) while (isRunning(holder)) await delay(20)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Makes the namespaces. Throws a `UserError` that names what is missing: root, packages, or modules of the kernel. */
export async function enterNative(options: NativeOptions): Promise<NativeMachine> {
  await requireNative(options.log)
  // One call for all would stop loading at the first that is not there.
  for (const name of [...REQUIRED_MODULES, ...USEFUL_MODULES]) await modprobe(name)
  const machines = join(options.cache ?? cacheDirectory(), 'native')
  await mkdir(machines, { recursive: true, mode: 0o700 })
  const directory = await mkdtemp(join(machines, `${process.pid}-`))
  options.log('making namespaces on the kernel of this machine')
  const unshare = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', HOLD]
  const command = options.detached === true ? unshare : ['setpriv', '--pdeathsig', 'KILL', ...unshare]
  const child = spawn(command[0] as string, command.slice(1), {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: systemPath() },
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ready = await new Promise<boolean>((resolve) => {
    child.once('error', () => resolve(false))
    child.once('exit', () => resolve(false))
    child.stdout.once('data', () => resolve(true))
  })
  const holder = child.pid === undefined ? undefined : identifyProcess(child.pid)
  if (!ready || !holder) {
    await rm(directory, { recursive: true, force: true })
    throw new Error(`making namespaces failed: ${said.trim()}`)
  }
  child.stdout.destroy()
  child.stderr.destroy()
  child.unref()
  const end = (): void => void signalProcess(holder, 'SIGKILL')
  process.once('exit', end)
  const address = { holder, directory }
  return { ...attachNative(address), address, release: () => void process.off('exit', end) }
}
