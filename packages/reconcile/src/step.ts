import type {
  FdbEntry,
  Family,
  IptablesSpec,
  LinkSpec,
  NftTable,
  Route,
  RouteSpec,
  Rule,
  RuleSpec,
  WireguardSpec,
} from '@vpn-gateway/kernel'

/** Changes of a link in place: only what differs; the alias of one that is taken over. */
export type LinkChange = Pick<LinkSpec, 'mtu' | 'up' | 'mac' | 'master'> & { alias?: string }

/** What has to change in one iptables table; applied as one transaction. */
export interface IptablesChange {
  family: Family
  table: IptablesSpec['table']
  policies: Record<string, string>
  /** Own chains to create or to fill anew. */
  chains: Record<string, string[]>
  /** Jumps to put first into a built-in chain. */
  jumps: Record<string, string>
  /** Rules of built-in chains to take out: jumps in the wrong place, twice, or into chains that go. */
  strayJumps: { chain: string; rule: string }[]
  /** Own chains that are no longer wanted. */
  obsoleteChains: string[]
}

/** One change of the kernel's state. A plan is a list of these, in order. */
export type Step =
  | { object: 'iptables'; action: 'replace'; change: IptablesChange }
  | { object: 'nft'; action: 'replace'; table: NftTable }
  | { object: 'nft'; action: 'del'; table: Pick<NftTable, 'family' | 'name'> }
  | { object: 'link'; action: 'add'; link: LinkSpec; alias: string }
  | { object: 'link'; action: 'set'; name: string; change: LinkChange }
  | { object: 'link'; action: 'del'; name: string }
  | { object: 'wireguard'; action: 'sync'; device: WireguardSpec }
  | { object: 'address'; action: 'add' | 'del'; dev: string; address: string }
  | { object: 'sysctl'; action: 'set'; key: string; value: string }
  | { object: 'route'; action: 'replace'; route: RouteSpec; protocol: number }
  | { object: 'route'; action: 'del'; route: Route }
  | { object: 'rule'; action: 'add'; rule: RuleSpec; protocol: number }
  | { object: 'rule'; action: 'del'; rule: Rule }
  | { object: 'fdb'; action: 'append' | 'del'; entry: FdbEntry }

/** The step in one line for logs and errors; holds no secret. */
export function describeStep(step: Step): string {
  const verb = `${step.object} ${step.action}`
  switch (step.object) {
    case 'iptables': {
      const { change } = step
      const touched = [
        ...new Set([...Object.keys(change.policies), ...Object.keys(change.chains), ...Object.keys(change.jumps)]),
      ]
      return `${verb} IPv${change.family} ${change.table}: ${[...touched, ...change.obsoleteChains].join(', ')}`
    }
    case 'nft':
      return `${verb} ${step.table.family} ${step.table.name}`
    case 'link':
      if (step.action === 'add') return `${verb} ${step.link.name} type ${step.link.kind}`
      if (step.action === 'del') return `${verb} ${step.name}`
      return `${verb} ${step.name} ${describeChange(step.change)}`
    case 'wireguard':
      return `${verb} ${step.device.name}`
    case 'address':
      return `${verb} ${step.address} dev ${step.dev}`
    case 'sysctl':
      return `${verb} ${step.key}=${step.value}`
    case 'route':
      return `${verb} ${step.route.dst} table ${step.route.table}`
    case 'rule':
      return `${verb} priority ${step.rule.priority} table ${step.rule.table}`
    case 'fdb':
      return `${verb} ${step.entry.mac} dst ${step.entry.dst ?? '-'} dev ${step.entry.dev}`
  }
}

function describeChange(change: LinkChange): string {
  return Object.entries(change)
    .map(([key, value]) => `${key} ${value}`)
    .join(' ')
}
