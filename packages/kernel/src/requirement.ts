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

/** Whether this process may change its network namespace: CAP_NET_ADMIN of capabilities(7) is effective. */
export async function hasNetAdmin(): Promise<boolean> {
  return hasCapability(await readFile('/proc/self/status', 'utf8'), 12)
}

/** Whether a text in the form of /proc/PID/status has a capability, by its number in linux/capability.h, effective. */
export function hasCapability(status: string, number: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'
  return ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n
}

/**
 * Which of the named kernel modules are neither loaded (/sys/module, /proc/modules) nor part of the running kernel
 * (modules.builtin, /proc/kallsyms). A module that the kernel would load by itself on first use counts as missing until then.
 */
export async function kernelModulesMissing(names: readonly string[]): Promise<string[]> {
  const [loaded, builtin] = await Promise.all([loadedModules(), builtinModules()])
  const absent = names.filter((name) => !loaded.has(moduleName(name)) && !builtin.has(moduleName(name)))
  const shown = await shownBySymbols(absent)
  return absent.filter((name) => !shown.has(name))
}

/**
 * How a kernel module is there: `loadable` ones the kernel or modprobe(8) can load from /lib/modules, `unknown` is what is
 * not loaded where that directory cannot be seen.
 */
export type KernelModuleState = 'loaded' | 'built-in' | 'loadable' | 'missing' | 'unknown'

/** State of each of the named kernel modules, in their order. */
export async function kernelModuleStates(names: readonly string[]): Promise<KernelModuleState[]> {
  const [loaded, builtin, installed] = await Promise.all([loadedModules(), builtinModules(), installedModules()])
  const states = names.map((name): KernelModuleState => {
    const module = moduleName(name)
    if (builtin.has(module)) return 'built-in'
    if (loaded.has(module)) return 'loaded'
    if (installed === undefined) return 'unknown'
    return installed.has(module) ? 'loadable' : 'missing'
  })
  const doubtful = names.filter((_, index) => states[index] === 'unknown' || states[index] === 'missing')
  const shown = await shownBySymbols(doubtful)
  return states.map((state, index) => (shown.has(names[index] ?? '') ? 'built-in' : state))
}

const moduleName = (name: string) => name.replaceAll('-', '_')

/**
 * A function of each module: exported, or one that the kernel calls by its address, so that no compiler leaves it out or
 * renames it. Schedulers of IPVS all have one named after themselves.
 */
const functionOf: Readonly<Record<string, string>> = {
  bridge: 'br_handle_frame',
  ip_vs: 'register_ip_vs_scheduler',
  nf_conntrack: 'nf_conntrack_in',
  nf_conntrack_netlink: 'ctnetlink_get_conntrack',
  nf_tables: 'nft_do_chain',
  vxlan: 'vxlan_xmit',
  wireguard: 'wg_xmit',
}

/**
 * Which of the named modules the running kernel has built in, by its symbols: a kernel whose /lib/modules cannot be seen, or
 * that was installed without modules.builtin, shows them nowhere else. /proc/kallsyms names symbols even where it hides
 * their addresses; a kernel without it has none.
 */
async function shownBySymbols(names: readonly string[]): Promise<Set<string>> {
  if (names.some((name) => !builtInByName.has(name))) {
    const text = await readFile('/proc/kallsyms', 'utf8').catch(() => '')
    for (const name of names) builtInByName.set(name, isBuiltIn(text, name))
  }
  return new Set(names.filter((name) => builtInByName.get(name)))
}

/** The list is several megabytes long, and what a kernel has built in is the same until it is another one. */
const builtInByName = new Map<string, boolean>()

/** Whether a text in the form of /proc/kallsyms, `ADDRESS TYPE NAME` and a tab and `[MODULE]` for a module's, has it. */
export function isBuiltIn(kallsyms: string, name: string): boolean {
  const module = moduleName(name)
  const symbol = functionOf[module] ?? (module.startsWith('ip_vs_') ? `${module}_schedule` : undefined)
  return symbol !== undefined && kallsyms.includes(` ${symbol}\n`)
}

async function loadedModules(): Promise<Set<string>> {
  const names = await readdir('/sys/module').catch(() => [] as string[])
  const listed = await readFile('/proc/modules', 'utf8').catch(() => '')
  for (const line of listed.split('\n')) names.push(line.split(' ')[0] ?? '')
  return new Set(names)
}

async function builtinModules(): Promise<Set<string>> {
  const text = await readFile(`/lib/modules/${release()}/modules.builtin`, 'utf8').catch(() => '')
  return new Set(parseModuleList(text))
}

/** Modules that depmod(8) has listed for the running kernel; undefined where there is no such list. */
async function installedModules(): Promise<Set<string> | undefined> {
  const text = await readFile(`/lib/modules/${release()}/modules.dep`, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  return new Set(parseModuleList(text))
}

/** Names of the modules whose files begin the lines of modules.builtin or modules.dep (depmod(8)), as the kernel writes them. */
export function parseModuleList(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const path = line.split(':', 1)[0] ?? ''
    const file = path.slice(path.lastIndexOf('/') + 1)
    const end = file.indexOf('.ko')
    return end < 1 ? [] : [file.slice(0, end).replaceAll('-', '_')]
  })
}
