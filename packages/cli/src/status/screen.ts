/** The agents' answers on one screen of 80 columns. Pure. */
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
        ? reasons(answer.status).map((reason) => `${nameOf(answer)}: ${reason}`)
        : [`${nameOf(answer)}: ${answer.problem}`],
    ),
    ...nodes.flatMap((node) =>
      linksOf(node)
        .filter(({ state }) => state !== 'up')
        .map(({ name, state }) => `${nameOf(node)}: link ${name}: ${state}`),
    ),
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
    .map((lines) => lines.map((line) => cut(line)).join('\n'))
    .join('\n\n')
}

function gatewayRow(answer: AgentAnswer): string[] {
  const { status, details } = answer
  const tunnel = details['tunnel'] as Answer
  const peers = (tunnel?.['peers'] ?? []) as { handshakeAgeSeconds?: number }[]
  const ages = peers.flatMap(({ handshakeAgeSeconds: age }) => (age === undefined ? [] : [age]))
  return [
    nameOf(answer),
    text(status, 'tunnel') ?? '-',
    text(tunnel, 'exitAddress') ?? '-',
    ages.length === 0 ? '-' : `${Math.min(...ages)} s ago`,
    stateOf(answer),
  ]
}

function routerRow(answer: AgentAnswer): string[] {
  const { status, details } = answer
  const vrrp = status?.['vrrp'] as Answer
  const sync = status?.['ipvsSync'] as Answer
  const vip = text(details['vrrp'] as Answer, 'vip') ?? '-'
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
  const daemons = (status?.['daemons'] ?? []) as { name?: string; state?: string }[]
  return daemons.find((daemon) => daemon.name === name)?.state ?? '-'
}

interface Server {
  address: string
  weight: number
  activeConnections: number
  inactiveConnections: number
}

/**
 * As the active router counts them; the other one holds copies. Of several services with one gateway, the sum; a gateway that
 * the router sends nothing to has none.
 */
function flowRows(routers: readonly AgentAnswer[], gateways: readonly AgentAnswer[]): string[][] {
  const active = routers.find(({ status }) => flag(status, 'vrrp', 'holdsVip'))
  if (active === undefined) return []
  const services = ((active.details['ipvs'] as Answer)?.['services'] ?? []) as { realServers?: Server[] }[]
  const servers = services.flatMap(({ realServers = [] }) => realServers)
  const names = new Map(
    gateways.flatMap((answer) => {
      const address = text(answer.status, 'address')
      return address === undefined ? [] : [[address, nameOf(answer)]]
    }),
  )
  const addresses = [...new Set([...names.keys(), ...servers.map(({ address }) => address)])]
  return addresses.map((address) => {
    const of = servers.filter((server) => server.address === address)
    const sum = (what: (server: Server) => number) => of.reduce((total, server) => total + what(server), 0)
    return [
      names.get(address) ?? '-',
      address,
      of.length === 0 ? 'none' : String(Math.max(...of.map(({ weight }) => weight))),
      String(sum(({ activeConnections }) => activeConnections)),
      String(sum(({ inactiveConnections }) => inactiveConnections)),
    ]
  })
}

interface LinkAnswer {
  name: string
  state: string
}

interface NetworkAnswer {
  bridge: LinkAnswer
  vxlan: LinkAnswer
  ports: number
}

function networksOf({ status }: AgentAnswer): NetworkAnswer[] {
  return (status?.['networks'] ?? []) as NetworkAnswer[]
}

function linksOf(answer: AgentAnswer): LinkAnswer[] {
  return networksOf(answer).flatMap(({ bridge, vxlan }) => [bridge, vxlan])
}

function nodeRow(answer: AgentAnswer): string[] {
  const { status } = answer
  const underlay = status?.['underlay'] as Answer
  const links = linksOf(answer)
  const peers = status?.['peers'] as Answer
  return [
    nameOf(answer),
    underlay === undefined ? '-' : `${text(underlay, 'device')} ${text(underlay, 'address')}`,
    number(underlay, 'mtu'),
    links.length === 0 ? '-' : `${links.filter(({ state }) => state === 'up').length} of ${links.length} up`,
    String(networksOf(answer).reduce((sum, { ports }) => sum + ports, 0)),
    peers === undefined ? '-' : peers['source'] === 'multicast' ? 'group' : number(peers, 'count'),
    stateOf(answer),
  ]
}

function nameOf({ status, url }: AgentAnswer): string {
  return text(status, 'name') ?? url.replace(/^https?:\/\//, '')
}

function stateOf({ problem, status }: AgentAnswer): string {
  return problem === undefined ? (text(status, 'state') ?? '-') : 'no answer'
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

function reasons(status: Answer): string[] {
  const found = status?.['reasons']
  return Array.isArray(found) ? found.map(String) : []
}

/** Columns as wide as their widest cell; names, which come first, are cut where the screen is narrower. None without rows. */
function table(head: string[], rows: readonly string[][]): string[] {
  if (rows.length === 0) return []
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
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

const shortestName = 12
const gap = '  '

function cut(line: string, width = screenWidth): string {
  return line.length > width ? `${line.slice(0, width - 1)}…` : line
}
