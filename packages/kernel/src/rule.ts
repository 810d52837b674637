import type { Runner } from './command.ts'
import { readItems } from './json.ts'
import type { Family, Rule } from './state.ts'

interface RawRule {
  priority: number
  src?: string
  srclen?: number
  dst?: string
  dstlen?: number
  iif?: string
  oif?: string
  fwmark?: string
  fwmask?: string
  ipproto?: string
  table?: string
  protocol?: string
}

/** All policy rules of a family, from `ip -json rule` (ip-rule(8)). */
export async function listRules(runner: Runner, family: Family): Promise<Rule[]> {
  return parseRules(await runner.run({ argv: ['ip', `-${family}`, '-N', '-details', '-json', 'rule', 'show'] }), family)
}

/** Parses what `ip -N -details -json rule show` prints; rules that do not look up a table are left out. */
export function parseRules(text: string, family: Family): Rule[] {
  const host = family === 4 ? 32 : 128
  return readItems<RawRule, Rule>('ip rule', text, (raw) => {
    if (raw.table === undefined) return []
    const rule: Rule = { family, priority: raw.priority, table: Number(raw.table), protocol: Number(raw.protocol ?? 0) }
    if (raw.src !== undefined && raw.src !== 'all') rule.from = `${raw.src}/${raw.srclen ?? host}`
    if (raw.dst !== undefined && raw.dst !== 'all') rule.to = `${raw.dst}/${raw.dstlen ?? host}`
    if (raw.iif !== undefined) rule.iif = raw.iif
    if (raw.oif !== undefined) rule.oif = raw.oif
    if (raw.fwmark !== undefined) rule.fwmark = { mark: Number(raw.fwmark), mask: Number(raw.fwmask ?? 0xffffffff) }
    if (raw.ipproto !== undefined) rule.ipProtocol = protocolName(raw.ipproto)
    return [rule]
  })
}

/** With -N iproute2 prints the protocol as a number (/etc/protocols), 6.1 as `ipproto-6`. */
function protocolName(protocol: string): string {
  const number = protocol.replace(/^ipproto-/, '')
  const names: Record<string, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp' }
  return names[number] ?? number
}
