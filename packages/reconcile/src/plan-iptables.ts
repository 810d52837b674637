import { isDeepStrictEqual } from 'node:util'
import type { IptablesSpec, IptablesTable, Owner } from '@vpn-gateway/kernel'
import type { IptablesChange, Step } from './step.ts'

/** iptables: at most one step a table, holding only the chains that differ, so that counters of the others go on. */
export function planIptables(
  desired: readonly IptablesSpec[] | undefined,
  observed: readonly IptablesTable[],
  owner: Owner,
): Step[] {
  return (desired ?? []).flatMap((spec) => {
    const held = observed.find((table) => table.family === spec.family && table.table === spec.table)
    const change = changeOf(spec, held ?? { family: spec.family, table: spec.table, policies: {}, chains: {} }, owner)
    return isEmpty(change) ? [] : [{ object: 'iptables', action: 'replace', change }]
  })
}

function changeOf(spec: IptablesSpec, held: IptablesTable, owner: Owner): IptablesChange {
  const obsoleteChains = Object.keys(held.chains).filter(
    (chain) => chain.startsWith(owner.chainPrefix) && !(chain in spec.chains),
  )
  const change: IptablesChange = {
    family: spec.family,
    table: spec.table,
    policies: pick(spec.policies, (chain, policy) => (held.policies[chain] ?? 'ACCEPT') !== policy),
    chains: pick(spec.chains, (chain, rules) => !isDeepStrictEqual(held.chains[chain], rules)),
    jumps: {},
    strayJumps: [],
    obsoleteChains,
  }
  for (const [chain, rules] of Object.entries(held.chains)) {
    if (chain.startsWith(owner.chainPrefix)) continue
    const target = spec.jumps[chain]
    const own = rules.filter((rule) => rule.startsWith(`-j ${owner.chainPrefix}`))
    if (target !== undefined && own.length === 1 && rules[0] === `-j ${target}`) continue
    // `-D` takes out the first rule that matches, so with a jump too many all of them go and one comes back.
    change.strayJumps.push(...own.map((rule) => ({ chain, rule })))
    if (target !== undefined) change.jumps[chain] = target
  }
  for (const [chain, target] of Object.entries(spec.jumps)) {
    if (held.chains[chain] === undefined) change.jumps[chain] = target
  }
  return change
}

function pick<T>(record: Record<string, T>, differs: (key: string, value: T) => boolean): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key, value]) => differs(key, value)))
}

function isEmpty(change: IptablesChange): boolean {
  return [change.policies, change.chains, change.jumps, change.strayJumps, change.obsoleteChains].every(
    (part) => Object.keys(part).length === 0,
  )
}
