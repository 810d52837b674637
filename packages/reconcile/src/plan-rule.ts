import type { Owner, Rule, RuleSpec } from '@vpn-gateway/kernel'
import type { Step } from './step.ts'

/** Policy rules. They have no replace: a changed rule is added before the old one goes. */
export function planRules(
  desired: readonly RuleSpec[] | undefined,
  observed: readonly Rule[],
  owner: Owner,
): { add: Step[]; del: Step[] } {
  if (desired === undefined) return { add: [], del: [] }
  const [first, last] = owner.rulePriorities
  const own = observed.filter(
    (rule) => rule.protocol === owner.protocol && rule.priority >= first && rule.priority <= last,
  )
  const held = new Set(own.map(ruleKey))
  const wanted = new Set(desired.map(ruleKey))
  return {
    add: desired
      .filter((rule) => !held.has(ruleKey(rule)))
      .map((rule) => ({ object: 'rule', action: 'add', rule, protocol: owner.protocol })),
    del: own.filter((rule) => !wanted.has(ruleKey(rule))).map((rule) => ({ object: 'rule', action: 'del', rule })),
  }
}

function ruleKey(rule: RuleSpec): string {
  const { family, priority, from, to, iif, oif, fwmark, ipProtocol, table } = rule
  const mark = fwmark === undefined ? undefined : `${fwmark.mark}/${fwmark.mask}`
  return JSON.stringify([family, priority, from, to, iif, oif, mark, ipProtocol, table])
}
