/**
 * The distribution's kernel as a program of this machine (`ARCH=um`, user-mode Linux): its network is the same code, run by
 * the real processor, where nothing virtualises one. Distributions build none with WireGuard, so it is built once, from
 * their own source package, into the cache.
 */
import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { ExecaError, execa } from 'execa'
import { downloadPackages } from './download.ts'
import type { Kernel } from './kernel.ts'
import type { Log } from './machine.ts'
import { identifyProcess } from './process-identity.ts'
import { systemPath } from './system-path.ts'

const CONFIG = new URL('guest/user-mode.config', import.meta.url)
/** A process that was killed within fork(2) took the whole kernel along (docs/adr/0020-user-mode-kernel.md). */
const PATCH = new URL('guest/user-mode.patch', import.meta.url)

/** The oldest version that was tried: earlier ones let io_uring not be switched off, and outlive their main process. */
const oldest = 'linux-source-6.12'

const compare = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true })

/**
 * The newest of the source packages that apt-cache's pkgnames lists, `linux-source-` and a version; undefined where there is
 * none or all are too old.
 */
export function newestSourcePackage(pkgnames: string): string | undefined {
  return pkgnames
    .split('\n')
    .filter((name) => /^linux-source-\d+(\.\d+)+$/.test(name) && compare(name, oldest) >= 0)
    .sort(compare)
    .at(-1)
}

async function sourcePackages(options: readonly string[]): Promise<string[]> {
  const { stdout } = await execa('apt-cache', [...options, 'pkgnames', 'linux-source-'], { reject: false })
  const newest = newestSourcePackage(stdout)
  return newest === undefined ? [] : [newest]
}

/** Runs a program that dies with this process and sees none of the variables that make(1) would heed. */
const run = (cwd: string) => (program: string, args: readonly string[]) =>
  execa('setpriv', ['--pdeathsig', 'TERM', program, ...args], {
    cwd,
    all: true,
    stdin: 'ignore',
    extendEnv: false,
    env: { PATH: systemPath(), HOME: cwd, LC_ALL: 'C' },
  })

/** Files that are compiled, about: they differ with the version. */
const sourceFiles = 1300
/** Milliseconds between two words on how far it is: ten minutes on two cores. */
const tellEvery = 15_000

/** Tells how many files make(1) says that it has compiled. */
async function tellProgress(output: Readable, log: Log): Promise<void> {
  let compiled = 0
  let told = Number.NEGATIVE_INFINITY
  for await (const line of createInterface({ input: output })) {
    if (/^ +CC /.test(line)) compiled += 1
    if (performance.now() - told < tellEvery) continue
    told = performance.now()
    log(`building a user-mode kernel, once: ${compiled} of about ${sourceFiles} files`)
  }
}

/** Builds the kernel in `work` and puts what is needed of it into the directory `root`; its version. */
async function build(work: string, root: string, log: Log): Promise<string> {
  const inWork = run(work)
  await downloadPackages(work, sourcePackages, log)
  log('unpacking the kernel source')
  for (const file of (await readdir(work)).filter((name) => name.endsWith('.deb'))) {
    await inWork('dpkg-deb', ['-x', file, 'package'])
    await rm(join(work, file))
  }
  const found = await inWork('find', ['package/usr/src', '-type', 'f', '-name', 'linux-source-*.tar.*'])
  const [archive] = found.stdout.split('\n')
  if (archive === undefined || archive === '') throw new Error('the package holds no source')
  await mkdir(join(work, 'source'))
  await inWork('tar', ['-xf', archive, '-C', 'source', '--strip-components=1'])

  const source = join(work, 'source')
  const inSource = run(source)
  await inSource('patch', ['--strip=1', '--forward', '--batch', `--input=${fileURLToPath(PATCH)}`]).catch(
    (error: unknown) => {
      // patch(1): 1 where some of it does not fit, 2 for all else.
      if (!(error instanceof ExecaError) || error.exitCode !== 1) throw error
      log('the source differs where it would be mended: building it as it is')
    },
  )
  await copyFile(CONFIG, join(source, 'vpn-gateway.config'))
  await inSource('make', ['ARCH=um', 'x86_64_defconfig'])
  await inSource('scripts/kconfig/merge_config.sh', ['-m', '.config', 'vpn-gateway.config'])
  await inSource('make', ['ARCH=um', 'olddefconfig'])
  const make = inSource('make', ['ARCH=um', `-j${availableParallelism() + 1}`, 'linux', 'modules'])
  await Promise.all([make, tellProgress(make.all, log)])
  await inSource('make', ['ARCH=um', `INSTALL_MOD_PATH=${root}`, 'INSTALL_MOD_STRIP=1', 'modules_install'])
  await copyFile(join(source, 'linux'), join(root, 'linux'))
  const [version] = await readdir(join(root, 'lib/modules'))
  if (version === undefined) throw new Error('no modules were built')
  return version
}

/** Removes what builds have left whose process is gone. */
async function sweep(kernels: string): Promise<void> {
  for (const name of await readdir(kernels)) {
    const pid = /^\.building-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && identifyProcess(Number(pid)) === undefined)
      await rm(join(kernels, name), { recursive: true, force: true })
  }
}

/**
 * The user-mode kernel, from the cache when it is there; otherwise built, which takes ten minutes of two processors and two
 * gigabytes for as long. Throws what went wrong.
 */
export async function ensureUserModeKernel(cache: string, log: Log): Promise<Kernel> {
  const kernels = join(cache, 'user-mode-kernels')
  const key = createHash('sha256')
    .update(await readFile(CONFIG))
    .update(await readFile(PATCH))
    .digest('hex')
    .slice(0, 12)
  const root = join(kernels, key)
  if (!(await stat(join(root, 'linux')).catch(() => undefined))) {
    await mkdir(kernels, { recursive: true })
    await sweep(kernels)
    const work = await mkdtemp(join(kernels, `.building-${process.pid}-`))
    try {
      const made = join(work, 'root')
      await mkdir(made)
      await build(work, made, log)
      // A second process may have been as far as this: what it put there is as good.
      await rename(made, root).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
      })
    } catch (error) {
      if (!(error instanceof ExecaError)) throw error
      // The message goes on with what the program said.
      const last = error.message.trimEnd().split('\n').at(-1) ?? ''
      throw new Error(`building a user-mode kernel: ${error.shortMessage.split('\n')[0]}: ${last}`, { cause: error })
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }
  const [version] = await readdir(join(root, 'lib/modules'))
  if (version === undefined) throw new Error(`no modules in ${root}: remove that directory and try again`)
  return { version, image: join(root, 'linux'), modules: join(root, 'lib/modules', version) }
}
