/** The programs that run inside are bundles in dist/; they are built again when a source is newer. */
import { cp, mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { compileCache, programFlags, programPath, repositoryRoot } from '../paths.ts'
import type { Log } from './machine.ts'

/** Modification time in milliseconds of the newest file below these paths; what is not there counts as old. */
export async function newestChange(paths: readonly string[]): Promise<number> {
  let newest = 0
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined)
    if (!found) continue
    newest = Math.max(newest, found.mtimeMs)
    if (!found.isDirectory()) continue
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
      if (entry.parentPath.includes('/node_modules')) continue
      const change = await stat(join(entry.parentPath, entry.name)).catch(() => undefined)
      newest = Math.max(newest, change?.mtimeMs ?? 0)
    }
  }
  return newest
}

/** Whether a source of the bundles is newer than the last build. */
export async function bundlesAreStale(): Promise<boolean> {
  const root = repositoryRoot()
  const packages = await readdir(join(root, 'packages'))
  const sources = [
    ...packages.map((name) => join('packages', name, 'src')),
    ...['lab', 'demo', 'compare', 'bench'].map((name) => join('test', name, 'src')),
    'test/fuzz/src/draw.ts',
    'rolldown.config.ts',
    'pnpm-lock.yaml',
  ]
  const stamp = await stat(join(root, 'dist/.built')).catch(() => undefined)
  return !stamp || (await newestChange(sources.map((path) => join(root, path)))) > stamp.mtimeMs
}

/** Builds when it is needed; throws with the bundler's output when that fails. */
export async function ensureBundles(log: Log): Promise<void> {
  if (!(await bundlesAreStale())) return
  const root = repositoryRoot()
  log('building the programs')
  await mkdir(join(root, 'dist'), { recursive: true })
  // A source that is saved while the build runs must count as newer than it.
  const began = new Date()
  // Two at once would write the same files.
  const build = await execa('flock', ['dist/.lock', 'pnpm', 'build'], { cwd: root, all: true, reject: false })
  if (build.exitCode !== 0) throw new Error(`pnpm build failed:\n${build.all}`)
  await precompile()
  await writeFile(join(root, 'dist/.built'), '')
  await utimes(join(root, 'dist/.built'), began, began)
}

/** Programs that answer `--version` and end; the others are small, or share most of their code with the lab's. */
const precompiled = ['gateway-agent', 'router-agent', 'node-agent']

/** Keeps what V8 compiles of the agents: under emulation that saves each of them a second of its start. */
async function precompile(): Promise<void> {
  const directory = compileCache()
  await rm(directory, { recursive: true, force: true })
  const env = { NODE_COMPILE_CACHE: directory }
  await Promise.all(
    precompiled.map((name) => execa(process.execPath, [...programFlags, programPath(name), '--version'], { env })),
  )
  // Node keeps a cache for each user id, and inside the machine everything runs as root.
  const own = `-${process.getuid?.() ?? 0}`
  for (const name of await readdir(directory)) {
    if (own === '-0' || !name.endsWith(own)) continue
    await cp(join(directory, name), join(directory, `${name.slice(0, -own.length)}-0`), { recursive: true })
  }
}
