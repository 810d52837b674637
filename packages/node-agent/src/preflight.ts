/** What the agent needs of the machine, found out before anything is changed. */
import { UserError, type System } from '@vpn-gateway/config'
import {
  CommandError,
  kernelModulesMissing,
  kernelModuleStates,
  missingBinaries,
  type Runner,
} from '@vpn-gateway/kernel'
import { mtuProblems } from './mtu.ts'
import { peerProblems } from './underlay.ts'
import type { World } from './world.ts'

/** Programs that the agent runs, each with its Debian package. */
const programs: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  bridge: 'iproute2',
  // Says when a rule changes, whoever changed it.
  nft: 'nftables',
  'iptables-save': 'iptables',
  'iptables-restore': 'iptables',
  'ip6tables-save': 'iptables',
  'ip6tables-restore': 'iptables',
}

/** Throws a `UserError` that names each program which is not on PATH. */
export async function requirePrograms(path?: string): Promise<void> {
  const missing = await missingBinaries(Object.keys(programs), path)
  if (missing.length > 0) {
    throw new UserError(missing.map((name) => `program ${name}: not on PATH (Debian package ${programs[name]})`))
  }
}

/** Throws a `UserError` that names each kernel module without which there are no links. */
export async function requireLinkTypes(runner: Runner): Promise<void> {
  const problems: string[] = []
  for (const module of await kernelModulesMissing(['bridge', 'vxlan'])) {
    const problem = await whyNot(runner, module)
    if (problem !== undefined) problems.push(problem)
  }
  if (problems.length > 0) throw new UserError(problems)
}

/**
 * The kernel loads the module of a link type before it looks at the rest of a request, and refuses a link with a
 * multicast MAC: whether the type can be had is known without making one.
 */
async function whyNot(runner: Runner, type: string): Promise<string | undefined> {
  const attributes = type === 'vxlan' ? ['id', '1', 'dstport', '4789'] : []
  const address = ['address', '01:00:00:00:00:00']
  try {
    await runner.run({ argv: ['ip', 'link', 'add', 'name', 'vg-trial', ...address, 'type', type, ...attributes] })
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    if (error.kind === 'not-permitted') return 'ip: not permitted: the agent needs CAP_NET_ADMIN'
    if (error.kind === 'unsupported') return `kernel module ${type}: not available on this machine`
  }
  return undefined
}

/**
 * Whether a rule of iptables can take packets out of connection tracking. A trial would leave an empty table behind, so the
 * module is looked for; where /lib/modules cannot be seen, only one that is loaded counts.
 */
export async function canLeaveUntracked(): Promise<boolean> {
  const [state] = await kernelModuleStates(['xt_CT'])
  return state === 'loaded' || state === 'built-in' || state === 'loadable'
}

/** Throws a `UserError`, each line with the file's name, when the file does not fit this node. */
export function requireFit(system: System, world: World, file: string): void {
  const problems = [...mtuProblems(system, world.underlay), ...peerProblems(system, world.underlay)]
  if (problems.length > 0) throw new UserError(problems.map((problem) => `${file}: ${problem}`))
}
