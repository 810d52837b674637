/** What the lab asks of the machine: kernel modules and Debian's programs. */
import { join } from 'node:path'
import { UserError } from '@vpn-gateway/config'
import { kernelModulesMissing, missingBinaries } from '@vpn-gateway/kernel'
import type { Runner } from '@vpn-gateway/kernel'
import { REQUIRED_MODULES, USEFUL_MODULES } from '../machine/kernel-modules.ts'
import { PLUGIN_DIR } from '../pods/cni.ts'

const binaries = [
  'ip',
  'bridge',
  'nft',
  'wg',
  'sysctl',
  'tcpdump',
  'bash',
  'iptables-restore',
  'keepalived',
  'conntrackd',
]
const plugins = ['bridge', 'host-local', 'tuning']

/** Loads the modules that are missing; throws a `UserError` that names what cannot be had. */
export async function meetRequirements(runner: Runner): Promise<void> {
  if (process.getuid?.() !== 0) throw new UserError('the lab makes network namespaces: root expected')
  const pluginPath = missingBinaries(plugins, PLUGIN_DIR)
  const absent = [...(await missingBinaries(binaries)), ...(await pluginPath).map((name) => join(PLUGIN_DIR, name))]
  if (absent.length > 0) throw new UserError(absent.map((name) => `missing program: ${name}`))
  // Beforehand, because a process inside a pod's namespace may not be able to have them loaded.
  const wanted = await kernelModulesMissing([...REQUIRED_MODULES, ...USEFUL_MODULES])
  if (wanted.length === 0) return
  await runner.run({ argv: ['modprobe', '-qa', ...wanted], timeoutMs: 60_000 }).catch(() => undefined)
  const missing = await kernelModulesMissing([...REQUIRED_MODULES])
  if (missing.length > 0) throw new UserError(missing.map((name) => `missing kernel module: ${name}`))
}
