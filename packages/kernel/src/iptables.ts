import type { Runner } from './command.ts'
import type { Family, IptablesTable } from './state.ts'

/** One table as `iptables-save -t TABLE` (or `ip6tables-save`) prints it, counters left out. */
export async function listIptables(runner: Runner, family: Family, table: string): Promise<IptablesTable> {
  const program = family === 4 ? 'iptables-save' : 'ip6tables-save'
  return parseIptablesSave(await runner.run({ argv: [program, '-t', table] }), family, table)
}

/** Parses the dump of one table in the format of iptables-save(8). A table that holds nothing is empty. */
export function parseIptablesSave(text: string, family: Family, table: string): IptablesTable {
  const parsed: IptablesTable = { family, table, policies: {}, chains: {} }
  let inTable = false
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) inTable = line.slice(1).trim() === table
    if (!inTable) continue
    const chain = /^:(\S+) (\S+)/.exec(line)
    if (chain !== null) {
      const [, name = '', policy = ''] = chain
      parsed.chains[name] ??= []
      if (policy !== '-') parsed.policies[name] = policy
      continue
    }
    const rule = /^(?:\[\d+:\d+\] )?-A (\S+)(?: (.*))?$/.exec(line)
    if (rule !== null) {
      const [, name = '', body = ''] = rule
      ;(parsed.chains[name] ??= []).push(body.trimEnd())
    }
  }
  return parsed
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
