/** What the agent needs of the machine, found out before anything is changed. */
import { parseProbeTarget, UserError } from '@vpn-gateway/config'
import { CommandError, missingBinaries, type DesiredState, type IptablesSpec, type Runner } from '@vpn-gateway/kernel'

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
  await requireAll(programs, path)
}

/** The same for ping(8), where a target is asked by ICMP. */
export async function requirePing(targets: readonly string[]): Promise<void> {
  if (targets.some((target) => parseProbeTarget(target)?.kind === 'icmp')) await requireAll({ ping: 'iputils-ping' })
}

async function requireAll(packages: Readonly<Record<string, string>>, path?: string): Promise<void> {
  const missing = await missingBinaries(Object.keys(packages), path)
  if (missing.length > 0) {
    throw new UserError(missing.map((name) => `program ${name}: not on PATH (Debian package ${packages[name]})`))
  }
}

const trialChain = 'VG-TRIAL'

/** Throws a `UserError` when the kernel lacks a match or a target of the desired rules. */
export async function requireKernel(runner: Runner, { iptables = [] }: DesiredState): Promise<void> {
  await requireRules(runner, iptables)
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
