/** What the agent needs of the machine, found out before anything is changed. */
import { UserError } from '@vpn-gateway/config'
import {
  CommandError,
  kernelModulesMissing,
  missingBinaries,
  type DesiredState,
  type IptablesSpec,
  type Runner,
} from '@vpn-gateway/kernel'

/** Programs that the agent runs, each with its Debian package. */
const programs: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  wg: 'wireguard-tools',
  nft: 'nftables',
  'iptables-save': 'iptables',
  'iptables-restore': 'iptables',
  'ip6tables-save': 'iptables',
  'ip6tables-restore': 'iptables',
  conntrack: 'conntrack',
}

/** Throws a `UserError` that names each program which is not on PATH. */
export async function requirePrograms(path?: string): Promise<void> {
  const missing = await missingBinaries(Object.keys(programs), path)
  if (missing.length > 0) {
    throw new UserError(missing.map((name) => `program ${name}: not on PATH (Debian package ${programs[name]})`))
  }
}

const trialLink = 'vg-trial'
const trialChain = 'VG-TRIAL'

/** Throws a `UserError` when the kernel lacks WireGuard, or a match or a target of the desired rules. */
export async function requireKernel(runner: Runner, { iptables = [] }: DesiredState): Promise<void> {
  await requireWireguard(runner)
  await requireRules(runner, iptables)
}

async function requireWireguard(runner: Runner): Promise<void> {
  if ((await kernelModulesMissing(['wireguard'])).length === 0) return
  // The kernel loads the module by itself when a link of its type is made; nothing short of that tells whether it can.
  try {
    await runner.run({ argv: ['ip', 'link', 'add', 'name', trialLink, 'type', 'wireguard'] })
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    throw new UserError(whyNot(error, 'kernel module wireguard: not available on this machine'))
  }
  await runner.run({ argv: ['ip', 'link', 'del', 'dev', trialLink] })
}

/**
 * Rules are tried in a chain that is made and
 * taken away within one transaction and that nothing jumps to, so that no packet ever meets them.
 */
async function requireRules(runner: Runner, specs: readonly IptablesSpec[]): Promise<void> {
  for (const { family, table, chains } of specs) {
    const program = family === 4 ? 'iptables-restore' : 'ip6tables-restore'
    const rules = [...new Set(Object.values(chains).flat())].filter((rule) => !rule.includes('-j VG-'))
    const attempt = (some: readonly string[]) => tryRules(runner, program, table, some)
    if ((await attempt(rules)) === undefined) continue
    const problems: string[] = []
    for (const rule of rules) {
      const error = await attempt([rule])
      if (error !== undefined) {
        problems.push(
          whyNot(error, `${program}: table ${table}: the kernel lacks ${extensions(rule)} for the rule: ${rule}`),
        )
      }
    }
    if (problems.length > 0) throw new UserError([...new Set(problems)])
  }
}

async function tryRules(
  runner: Runner,
  program: string,
  table: string,
  rules: readonly string[],
): Promise<CommandError | undefined> {
  const lines = [
    `*${table}`,
    `:${trialChain} - [0:0]`,
    ...rules.map((rule) => `-A ${trialChain} ${rule}`),
    // One by one: a flush would make iptables-restore forget the rules before the kernel saw them.
    ...rules.map((rule) => `-D ${trialChain} ${rule}`),
    `-X ${trialChain}`,
    'COMMIT',
  ]
  try {
    await runner.run({ argv: [program, '--noflush', '--wait', '5'], stdin: `${lines.join('\n')}\n` })
    return undefined
  } catch (error) {
    if (error instanceof CommandError) return error
    throw error
  }
}

/** Netfilter's names of the modules that a rule asks for: `xt_` and the match or the target. */
function extensions(rule: string): string {
  const names = [...rule.matchAll(/-[mj] (\S+)/g)].map((match) => match[1] ?? '')
  const modules = names.filter((name) => !['ACCEPT', 'DROP', 'tcp', 'udp', 'icmp', 'icmp6'].includes(name))
  return modules.length === 0 ? 'nf_tables' : `one of ${modules.map((name) => `xt_${name}`).join(', ')}`
}

function whyNot(error: CommandError, otherwise: string): string {
  return error.kind === 'not-permitted' ? `${error.argv[0]}: not permitted: the agent needs CAP_NET_ADMIN` : otherwise
}
