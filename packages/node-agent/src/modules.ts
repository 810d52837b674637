import { schedulersOf, type System } from '@vpn-gateway/config'
import { kernelModuleStates, type KernelModuleState, type Runner } from '@vpn-gateway/kernel'

/** A kernel module that something on this node will need, and what. */
export interface ModuleStatus {
  module: string
  neededBy: 'node' | 'gateway pods' | 'router pods'
  state: KernelModuleState
  /** What of the pods fails unless it is loaded before them; absent where the kernel loads it on first use. */
  loadedFor?: string
}

type ModuleNeed = Omit<ModuleStatus, 'state'>

/** Modules that the node and the pods on it need; pods cannot load any. */
export function modulesNeeded(system: System): ModuleNeed[] {
  const needed = (neededBy: ModuleStatus['neededBy'], modules: string[]): ModuleNeed[] =>
    modules.map((module) => ({ module, neededBy }))
  return [
    ...needed('node', ['bridge', 'vxlan', 'nf_tables']),
    ...needed('gateway pods', ['wireguard', 'nf_conntrack']),
    ...(system.routerNetwork === undefined ? [] : routerModules(system)),
  ]
}

/** The tuning plugin sets their parameters before anything in the pod can have had them loaded. */
function routerModules(system: System): ModuleNeed[] {
  const neededBy = 'router pods' as const
  return [
    { module: 'ip_vs', neededBy, loadedFor: 'net.ipv4.vs.* in the network attachment "router"' },
    ...schedulersOf(system).map((scheduler) => ({ module: `ip_vs_${scheduler}`, neededBy })),
    { module: 'nf_conntrack', neededBy, loadedFor: 'net.netfilter.* in the network attachment "router"' },
    { module: 'nf_conntrack_netlink', neededBy },
  ]
}

/** How each of the modules is there. */
export async function readModules(system: System): Promise<ModuleStatus[]> {
  const needed = modulesNeeded(system)
  const states = await kernelModuleStates(needed.map(({ module }) => module))
  return needed.map((need, index) => ({ ...need, state: states[index] ?? 'unknown' }))
}

/** Whether something will fail for want of the module, as it is now. */
export function isWanting({ state, loadedFor }: ModuleStatus): boolean {
  if (state === 'loaded' || state === 'built-in') return false
  return state === 'missing' || loadedFor !== undefined
}

/** What will fail for want of a module, one line each; pure. */
export function moduleProblems(modules: readonly ModuleStatus[]): string[] {
  return modules.filter(isWanting).map(({ module, neededBy, state, loadedFor }) => {
    const what = state === 'missing' ? 'not on this node' : 'not loaded'
    const purpose = loadedFor === undefined ? neededBy : `${neededBy}: ${loadedFor}`
    const remedy =
      state === 'missing'
        ? 'expected a kernel that has it'
        : `expected modprobe ${module} on the node, or node.loadModules: true`
    return `kernel module ${module}: ${what}, needed by ${purpose}: ${remedy}`
  })
}

/** Has modprobe(8) load those that are not there; resolves to why it could not, one line, or undefined. */
export async function loadModules(runner: Runner, modules: readonly ModuleStatus[]): Promise<string | undefined> {
  const names = modules.filter(({ state }) => state === 'loadable' || state === 'unknown').map(({ module }) => module)
  if (names.length === 0) return undefined
  try {
    await runner.run({ argv: ['modprobe', '--all', ...new Set(names)] })
    return undefined
  } catch (error) {
    return `loading kernel modules: ${error instanceof Error ? error.message : String(error)}`
  }
}
