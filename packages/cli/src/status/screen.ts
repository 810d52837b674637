/** The agents' answers on one screen of 80 columns; what an agent of another version does not say is a dash. Pure. */
import type { AgentAnswer } from './agents.ts'

type Answer = Record<string, unknown> | undefined

const screenWidth = 80

/** Tunnels and exits, routers with flows and sync, nodes with links, then everything that is wrong. */
export function statusScreen(answers: readonly AgentAnswer[], problems: readonly string[] = []): string {
  const of = (kind: AgentAnswer['kind']) => answers.filter((answer) => answer.kind === kind)
  const gateways = of('gateway')
  const routers = of('router')
  const nodes = of('node')
  const up = gateways.filter(({ status }) => text(status, 'tunnel') === 'up').length
  const active = routers.filter(({ status }) => flag(status, 'vrrp', 'holdsVip')).map(nameOf)
  const head = [
    `${up} of ${gateways.length} exits up`,
    ...(routers.length === 0 ? [] : [active.length === 0 ? 'no active router' : `active: ${active.join(', ')}`]),
    nodes.length === 1 ? '1 node' : `${nodes.length} nodes`,
  ]
  const wrong = [
    ...problems,
    ...answers.flatMap((answer) =>
      answer.problem === undefined
        ? texts(answer.status, 'reasons').map((reason) => `${nameOf(answer)}: ${reason}`)
        : [`${nameOf(answer)}: ${answer.problem}`],
    ),
    ...answers.flatMap((answer) => (answer.missing ?? []).map((why) => `${nameOf(answer)}: ${why}`)),
    ...routers.flatMap((router) =>
      texts(member(router.status, 'systemFile'), 'problems').map(
        (problem) => `${nameOf(router)}: system file not used: ${problem}`,
      ),
    ),
    ...nodes.flatMap((node) => [
      ...linksOf(node)
        .filter(({ state }) => state !== 'up')
        .map(({ name, state }) => `${nameOf(node)}: link ${name}: ${state}`),
      ...list(node.status, 'findings')
        // A NIC that lacks it is slower, and nothing is wrong.
        .filter((each) => text(each, 'finding') !== 'checksum-offload')
        .map((each) => `${nameOf(node)}: ${text(each, 'text') ?? '-'}`),
    ]),
  ]
  const sections = [
    [head.join(' · ')],
    table(['GATEWAY', 'TUNNEL', 'EXIT', 'HANDSHAKE', 'STATE'], gateways.map(gatewayRow)),
    table(['ROUTER', 'VRRP', 'VIRTUAL IP', 'IPVS SYNC', 'CONNTRACKD', 'STATE'], routers.map(routerRow)),
    table(['FLOWS BY', 'ADDRESS', 'WEIGHT', 'ACTIVE', 'ENDING'], flowRows(routers, gateways)),
    table(['NODE', 'UNDERLAY', 'MTU', 'LINKS', 'PODS', 'PEERS', 'STATE'], nodes.map(nodeRow)),
    wrong.length === 0 ? [] : ['PROBLEMS', ...wrong.map((line) => `  ${line}`)],
  ]
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => cut(oneLine(line))).join('\n'))
    .join('\n\n')
}

function gatewayRow(answer: AgentAnswer): string[] {
  const { status, details } = answer
  const tunnel = member(details, 'tunnel')
  const ages = list(tunnel, 'peers').flatMap(({ handshakeAgeSeconds: age }) => (typeof age === 'number' ? [age] : []))
  return [
    nameOf(answer),
    text(status, 'tunnel') ?? '-',
    text(tunnel, 'exitAddress') ?? '-',
    ages.length === 0 ? '-' : `${ages.reduce((least, age) => Math.min(least, age))} s ago`,
    stateOf(answer),
  ]
}

function routerRow(answer: AgentAnswer): string[] {
  const { status, details } = answer
  const vrrp = member(status, 'vrrp')
  const sync = member(status, 'ipvsSync')
  const vip = text(member(details, 'vrrp'), 'vip') ?? '-'
  const directions = [flag(sync, 'sender') ? 'sends' : '', flag(sync, 'receiver') ? 'receives' : ''].filter(Boolean)
  return [
    nameOf(answer),
    text(vrrp, 'state') ?? '-',
    flag(vrrp, 'holdsVip') ? `${vip} (here)` : vip,
    directions.join(', ') || '-',
    daemonState(status, 'conntrackd'),
    stateOf(answer),
  ]
}

function daemonState(status: Answer, name: string): string {
  const daemon = list(status, 'daemons').find((each) => text(each, 'name') === name)
  return text(daemon, 'state') ?? '-'
}

/**
 * As the active router counts them; the other one holds copies. Of several services with one gateway, the sum; a gateway that
 * the router sends nothing to has none.
 */
function flowRows(routers: readonly AgentAnswer[], gateways: readonly AgentAnswer[]): string[][] {
  const active = routers.find(({ status }) => flag(status, 'vrrp', 'holdsVip'))
  if (active === undefined) return []
  const services = list(member(active.details, 'ipvs'), 'services')
  const servers = services.flatMap((service) =>
    list(service, 'realServers').flatMap((server) => {
      const address = text(server, 'address')
      const count = (key: string) => (typeof server[key] === 'number' ? server[key] : 0)
      return address === undefined ? [] : [{ address, count }]
    }),
  )
  const names = new Map(
    gateways.flatMap((answer) => {
      const address = text(answer.status, 'address')
      return address === undefined ? [] : [[address, nameOf(answer)]]
    }),
  )
  const byAddress = Map.groupBy(servers, ({ address }) => address)
  const addresses = [...new Set([...names.keys(), ...byAddress.keys()])]
  return addresses.map((address) => {
    const of = byAddress.get(address) ?? []
    const sum = (key: string) => String(of.reduce((total, { count }) => total + count(key), 0))
    return [
      names.get(address) ?? '-',
      address,
      of.length === 0 ? 'none' : String(largest(of.map(({ count }) => count('weight')))),
      sum('activeConnections'),
      sum('inactiveConnections'),
    ]
  })
}

function linksOf({ status }: AgentAnswer): { name: string; state: string }[] {
  const links = list(status, 'networks').flatMap((network) => [member(network, 'bridge'), member(network, 'vxlan')])
  return links.map((link) => ({ name: text(link, 'name') ?? '-', state: text(link, 'state') ?? '-' }))
}

function nodeRow(answer: AgentAnswer): string[] {
  const { status } = answer
  const underlay = member(status, 'underlay')
  const links = linksOf(answer)
  const peers = member(status, 'peers')
  const ports = list(status, 'networks').map((network) => network['ports'])
  return [
    nameOf(answer),
    `${text(underlay, 'device') ?? ''} ${text(underlay, 'address') ?? ''}`.trim() || '-',
    number(underlay, 'mtu'),
    links.length === 0 ? '-' : `${links.filter(({ state }) => state === 'up').length} of ${links.length} up`,
    String(ports.reduce<number>((sum, count) => sum + (typeof count === 'number' ? count : 0), 0)),
    text(peers, 'source') === 'multicast' ? 'group' : number(peers, 'count'),
    stateOf(answer),
  ]
}

function nameOf({ status, url }: AgentAnswer): string {
  return text(status, 'name') ?? url.replace(/^https?:\/\//, '')
}

function stateOf({ problem, status }: AgentAnswer): string {
  return problem === undefined ? (text(status, 'state') ?? '-') : 'no answer'
}

/** A mapping within the answer; undefined where there is something else. */
function member(answer: Answer, key: string): Answer {
  const value = answer?.[key]
  return isMapping(value) ? value : undefined
}

/** Mappings of a list within the answer, whatever else is in it. */
function list(answer: Answer, key: string): Record<string, unknown>[] {
  const value = answer?.[key]
  return Array.isArray(value) ? value.filter(isMapping) : []
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function text(answer: Answer, key: string): string | undefined {
  const value = answer?.[key]
  return typeof value === 'string' ? value : undefined
}

function number(answer: Answer, key: string): string {
  const value = answer?.[key]
  return typeof value === 'number' ? String(value) : '-'
}

function flag(answer: Answer, ...path: string[]): boolean {
  return path.reduce<unknown>((value, key) => (value as Answer)?.[key], answer) === true
}

function texts(answer: Answer, key: string): string[] {
  const found = answer?.[key]
  return Array.isArray(found) ? found.filter((each) => typeof each === 'string') : []
}

/** Columns as wide as their widest cell; names, which come first, are cut where the screen is narrower. None without rows. */
function table(head: string[], rows: readonly string[][]): string[] {
  if (rows.length === 0) return []
  const widths = head.map((title, column) => largest([title, ...rows.map((row) => row[column] ?? '')].map(lengthOf)))
  const [first = 0, ...others] = widths
  const room = others.reduce((left, width) => left - width - gap.length, screenWidth)
  widths[0] = Math.min(first, Math.max(room, shortestName))
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cut(cell, widths[column]).padEnd(widths[column] ?? 0))
      .join(gap)
      .trimEnd(),
  )
}

/** Of any number of them: an argument each would exhaust the stack. */
const largest = (numbers: readonly number[]): number => numbers.reduce((most, each) => Math.max(most, each))
const lengthOf = ({ length }: string): number => length

const shortestName = 12
const gap = '  '

/** What agents say may hold what a program said to them: line breaks and what moves a terminal's cursor stay out. */
function oneLine(said: string): string {
  return said.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}

function cut(line: string, width = screenWidth): string {
  return line.length > width ? `${line.slice(0, width - 1)}…` : line
}
