import { constants } from 'node:fs'
import { access, readFile, readdir } from 'node:fs/promises'
import { release } from 'node:os'
import { delimiter, join } from 'node:path'

/** Which of the named programs are not on PATH. */
export async function missingBinaries(names: readonly string[], path = process.env['PATH'] ?? ''): Promise<string[]> {
  const found = await Promise.all(names.map((name) => isOnPath(name, path)))
  return names.filter((_, index) => !found[index])
}

async function isOnPath(name: string, path: string): Promise<boolean> {
  const tries = path.split(delimiter).map((dir) => access(join(dir, name), constants.X_OK))
  return (await Promise.allSettled(tries)).some((result) => result.status === 'fulfilled')
}

/**
 * Which of the named kernel modules are neither loaded (/sys/module, /proc/modules) nor built in
 * (modules.builtin of the running kernel). A module that the kernel would load by itself on first use counts as missing
 * until then.
 */
export async function kernelModulesMissing(names: readonly string[]): Promise<string[]> {
  const [loaded, builtin] = await Promise.all([loadedModules(), builtinModules()])
  return names.filter((name) => {
    const module = name.replaceAll('-', '_')
    return !loaded.has(module) && !builtin.has(module)
  })
}

async function loadedModules(): Promise<Set<string>> {
  const names = await readdir('/sys/module').catch(() => [] as string[])
  const listed = await readFile('/proc/modules', 'utf8').catch(() => '')
  for (const line of listed.split('\n')) names.push(line.split(' ')[0] ?? '')
  return new Set(names)
}

async function builtinModules(): Promise<Set<string>> {
  const text = await readFile(`/lib/modules/${release()}/modules.builtin`, 'utf8').catch(() => '')
  return new Set([...text.matchAll(/([^/\n]+)\.ko$/gm)].map((match) => (match[1] ?? '').replaceAll('-', '_')))
}
