import type { Runner } from './command.ts'
import type { Family, IptablesTable } from './state.ts'

/** All tables of a family that exist, from `iptables-save` or `ip6tables-save`, counters left out. */
export async function listIptables(runner: Runner, family: Family): Promise<IptablesTable[]> {
  return parseIptablesSave(await runner.run({ argv: [family === 4 ? 'iptables-save' : 'ip6tables-save'] }), family)
}

/** Parses the format of iptables-save(8). */
export function parseIptablesSave(text: string, family: Family): IptablesTable[] {
  const tables: IptablesTable[] = []
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      tables.push({ family, table: line.slice(1).trim(), policies: byChain(), chains: byChain() })
    }
    const table = tables.at(-1)
    if (table !== undefined) readLine(table, line)
  }
  return tables
}

/** Anybody's chain may be called `constructor`: nothing is inherited. */
function byChain<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>
}

function readLine(table: IptablesTable, line: string): void {
  const chain = /^:(\S+) (\S+)/.exec(line)
  if (chain !== null) {
    const [, name = '', policy = ''] = chain
    table.chains[name] ??= []
    if (policy !== '-') table.policies[name] = policy
  }
  const rule = /^(?:\[\d+:\d+\] )?-A (\S+)(?: (.*))?$/.exec(line)
  if (rule !== null) {
    const [, name = '', body = ''] = rule
    ;(table.chains[name] ??= []).push(body.trimEnd())
  }
}

/** Packets and bytes that one rule has matched since it was made. */
export interface RuleCounter {
  chain: string
  /** The rule without counters and without `-A CHAIN`. */
  rule: string
  packets: number
  bytes: number
}

/** Counters of every rule of one table, from `iptables-save --counters`. */
export async function listRuleCounters(runner: Runner, family: Family, table: string): Promise<RuleCounter[]> {
  const program = family === 4 ? 'iptables-save' : 'ip6tables-save'
  return parseRuleCounters(await runner.run({ argv: [program, '--counters', '-t', table] }))
}

/** Parses rules with counters in the format of iptables-save(8). */
export function parseRuleCounters(text: string): RuleCounter[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\[(\d+):(\d+)\] -A (\S+)(?: (.*))?$/.exec(line)
    if (match === null) return []
    const [, packets, bytes, chain = '', rule = ''] = match
    return [{ chain, rule: rule.trimEnd(), packets: Number(packets), bytes: Number(bytes) }]
  })
}
