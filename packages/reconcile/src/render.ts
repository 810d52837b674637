/** From steps to the bulk calls that carry them out: as few processes as the order allows. Pure. */
import {
  renderWireguardConfig,
  syncWireguardCommand,
  type Invocation,
  type LinkSpec,
  type RouteSpec,
  type RuleSpec,
} from '@vpn-gateway/kernel'
import type { IptablesChange, LinkChange, Step } from './step.ts'

/** Steps that one call carries out. */
export type Batch =
  | {
      via: 'command'
      steps: Step[]
      invocation: Invocation
      /** Line of the input to index in `steps`. */ stepOfLine: number[]
    }
  | { via: 'sysctl'; steps: Extract<Step, { object: 'sysctl' }>[] }

/** Groups neighbouring steps by the tool that does them, keeping their order. */
export function batches(steps: readonly Step[]): Batch[] {
  const groups: { tool: string; steps: Step[] }[] = []
  for (const step of steps) {
    const tool = toolOf(step)
    const last = groups.at(-1)
    if (last?.tool === tool) last.steps.push(step)
    else groups.push({ tool, steps: [step] })
  }
  return groups.map(toBatch)
}

function toolOf(step: Step): string {
  switch (step.object) {
    case 'link':
      // iproute2 reads addresses in the family that it is told.
      return step.action === 'add' && overIpv6(step.link) ? 'ip -6' : 'ip -4'
    case 'address':
      return 'ip -4'
    case 'route':
      return `ip -${step.route.family}`
    case 'rule':
      return `ip -${step.rule.family}`
    case 'fdb':
      return 'bridge'
    case 'iptables':
      return step.change.family === 4 ? 'iptables-restore' : 'ip6tables-restore'
    case 'nft':
      return 'nft'
    case 'wireguard':
      return `wg ${step.device.name}`
    case 'sysctl':
      return 'sysctl'
  }
}

function overIpv6({ vxlan }: LinkSpec): boolean {
  return vxlan?.local?.includes(':') === true || vxlan?.group?.includes(':') === true
}

function toBatch({ tool, steps }: { tool: string; steps: Step[] }): Batch {
  if (tool === 'sysctl') return { via: 'sysctl', steps: steps.filter((step) => step.object === 'sysctl') }
  const lines: string[] = []
  const stepOfLine: number[] = []
  steps.forEach((step, index) => {
    for (const line of linesOf(step)) {
      lines.push(line)
      stepOfLine.push(index)
    }
  })
  return {
    via: 'command',
    steps,
    invocation: {
      argv: argvOf(tool),
      stdin: `${lines.join('\n')}\n`,
      timeoutMs: 30_000,
      ...(tool.startsWith('wg ') ? { secret: true } : {}),
    },
    stepOfLine,
  }
}

function argvOf(tool: string): [string, ...string[]] {
  if (tool === 'bridge') return ['bridge', '-force', '-batch', '-']
  if (tool === 'nft') return ['nft', '-f', '-']
  if (tool.startsWith('ip -')) return ['ip', tool.slice(3), '-force', '-batch', '-']
  if (tool.startsWith('wg ')) return syncWireguardCommand(tool.slice(3))
  return [tool, '--noflush', '--wait', '5']
}

/** Standard input for the tool that does the step. */
export function linesOf(step: Step): string[] {
  switch (step.object) {
    case 'link':
      if (step.action === 'add') return addLink(step.link, step.alias)
      if (step.action === 'del') return [`link del dev ${step.name}`]
      return [setLink(step.name, step.change)]
    case 'address':
      return [`address ${step.action} ${step.address} dev ${step.dev}`]
    case 'route':
      if (step.action === 'del') return [`route del ${routeWords(step.route, step.route.protocol)}`]
      return [`route replace ${routeWords(step.route, step.protocol)}`]
    case 'rule':
      if (step.action === 'del') return [`rule del ${ruleWords(step.rule)} protocol ${step.rule.protocol}`]
      return [`rule add ${ruleWords(step.rule)} protocol ${step.protocol}`]
    case 'fdb':
      return [`fdb ${step.action} ${step.entry.mac} dev ${step.entry.dev} dst ${step.entry.dst ?? ''}`.trimEnd()]
    case 'iptables':
      return restoreLines(step.change)
    case 'nft':
      return nftLines(step)
    case 'wireguard':
      return renderWireguardConfig(step.device).trimEnd().split('\n')
    case 'sysctl':
      return []
  }
}

function addLink(link: LinkSpec, alias: string): string[] {
  const words = ['link add name', link.name]
  if (link.mac !== undefined) words.push('address', link.mac)
  if (link.mtu !== undefined) words.push('mtu', String(link.mtu))
  words.push('type', link.kind)
  if (link.vxlan !== undefined) {
    const { id, port, underlay, local, group, learning, udpChecksum } = link.vxlan
    words.push('id', String(id), 'dstport', String(port), learning ? 'learning' : 'nolearning')
    if (underlay !== undefined) words.push('dev', underlay)
    if (local !== undefined) words.push('local', local)
    if (group !== undefined) words.push('group', group)
    if (udpChecksum !== undefined) words.push(udpChecksum ? 'udpcsum' : 'noudpcsum')
  }
  return [words.join(' '), `link set dev ${link.name} alias ${alias}`]
}

function setLink(name: string, change: LinkChange): string {
  const words = ['link set dev', name]
  if (change.alias !== undefined) words.push('alias', change.alias)
  if (change.mtu !== undefined) words.push('mtu', String(change.mtu))
  if (change.mac !== undefined) words.push('address', change.mac)
  if (change.master !== undefined) words.push('master', change.master)
  if (change.up !== undefined) words.push(change.up ? 'up' : 'down')
  return words.join(' ')
}

/** Next hops end the line: iproute2 reads nothing else behind the first `nexthop`. */
function routeWords(route: RouteSpec, protocol: number): string {
  const words = [
    route.type === 'unicast' ? route.dst : `${route.type} ${route.dst}`,
    'table',
    String(route.table),
    'protocol',
    String(protocol),
  ]
  const [only] = route.nexthops
  if (route.nexthops.length === 1 && only !== undefined) {
    if (only.via !== undefined) words.push('via', only.via)
    words.push('dev', only.dev)
  }
  if (route.metric !== undefined) words.push('metric', String(route.metric))
  if (route.source !== undefined) words.push('src', route.source)
  if (route.mtu !== undefined) words.push('mtu', String(route.mtu))
  if (route.nexthops.length > 1) {
    for (const hop of route.nexthops) {
      words.push('nexthop')
      if (hop.via !== undefined) words.push('via', hop.via)
      words.push('dev', hop.dev, 'weight', String(hop.weight ?? 1))
    }
  }
  return words.join(' ')
}

function ruleWords(rule: RuleSpec): string {
  const words = ['priority', String(rule.priority)]
  if (rule.from !== undefined) words.push('from', rule.from)
  if (rule.to !== undefined) words.push('to', rule.to)
  if (rule.iif !== undefined) words.push('iif', rule.iif)
  if (rule.oif !== undefined) words.push('oif', rule.oif)
  if (rule.fwmark !== undefined)
    words.push('fwmark', `0x${rule.fwmark.mark.toString(16)}/0x${rule.fwmark.mask.toString(16)}`)
  if (rule.ipProtocol !== undefined) words.push('ipproto', rule.ipProtocol)
  words.push('lookup', String(rule.table))
  return words.join(' ')
}

/** One table for `iptables-restore --noflush`: naming an own chain empties it, built-in chains keep other rules. */
function restoreLines(change: IptablesChange): string[] {
  const jumps = Object.entries(change.jumps)
  return [
    `*${change.table}`,
    ...Object.entries(change.policies).map(([chain, policy]) => `:${chain} ${policy} [0:0]`),
    ...[...Object.keys(change.chains), ...change.obsoleteChains].map((chain) => `:${chain} - [0:0]`),
    ...Object.entries(change.chains).flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`)),
    ...change.strayJumps.map(({ chain, rule }) => `-D ${chain} ${rule}`),
    ...jumps.map(([chain, target]) => `-I ${chain} 1 -j ${target}`),
    ...change.obsoleteChains.map((chain) => `-X ${chain}`),
    'COMMIT',
  ]
}

/** `add` before `delete` makes the deletion safe where there is no such table yet; the file is one transaction (nft(8)). */
function nftLines(step: Extract<Step, { object: 'nft' }>): string[] {
  const name = `${step.table.family} ${step.table.name}`
  const clear = [`add table ${name}`, `delete table ${name}`]
  if (step.action === 'del') return clear
  return [...clear, `table ${name} {`, step.table.body, '}']
}
