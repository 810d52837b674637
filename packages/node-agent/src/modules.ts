import type { System } from '@vpn-gateway/config'
import { kernelModulesMissing } from '@vpn-gateway/kernel'

/** A kernel module that something on this node will need, and what. */
export interface ModuleStatus {
  module: string
  neededBy: 'node' | 'gateway pods' | 'router pods'
  /** Loaded or built in. Some are loaded by the kernel itself on first use, where the host has them. */
  present: boolean
}

/** Modules that the node and the pods on it need; pods cannot load any. */
function modulesNeeded(system: System): Omit<ModuleStatus, 'present'>[] {
  const needed = (neededBy: ModuleStatus['neededBy'], modules: string[]) =>
    modules.map((module) => ({ module, neededBy }))
  return [
    ...needed('node', ['bridge', 'vxlan']),
    ...needed('gateway pods', ['wireguard', 'nf_conntrack']),
    ...(system.routerNetwork === undefined
      ? []
      : needed('router pods', ['ip_vs', `ip_vs_${system.router.scheduler}`, 'nf_conntrack_netlink'])),
  ]
}

/** Which of the modules are there. */
export async function readModules(system: System): Promise<ModuleStatus[]> {
  const needed = modulesNeeded(system)
  const missing = new Set(await kernelModulesMissing(needed.map(({ module }) => module)))
  return needed.map((item) => ({ ...item, present: !missing.has(item.module) }))
}
