import { createReadStream } from 'node:fs'
import { readMemoryFile } from './memory-file.ts'

/** One destination of a virtual service, as /proc/net/ip_vs lists it. */
export interface RealServer {
  address: string
  port: number
  /** `Route` is direct routing, `Masq` NAT, `Tunnel` encapsulation, `Local` this host. */
  forwarding: string
  /** 0 takes no new connections. */
  weight: number
  activeConnections: number
  inactiveConnections: number
}

export type VirtualService = (
  | { protocol: 'FWM'; fwmark: number }
  | { protocol: 'TCP' | 'UDP' | 'SCTP'; address: string; port: number }
) & { scheduler: string; flags: string[]; realServers: RealServer[] }

/** Totals since the module was loaded, and rates over the kernel's own estimator (about two seconds). */
export interface IpvsStats {
  connections: number
  incomingPackets: number
  outgoingPackets: number
  incomingBytes: number
  outgoingBytes: number
  connectionsPerSecond: number
  incomingPacketsPerSecond: number
  outgoingPacketsPerSecond: number
  incomingBytesPerSecond: number
  outgoingBytesPerSecond: number
}

export interface IpvsConnection {
  protocol: string
  client: string
  clientPort: number
  destination: string
  destinationPort: number
  realServer: string
  realServerPort: number
  state: string
  /** Seconds until the entry expires. */
  expires: number
}

/** Virtual services with their real servers; undefined without the ip_vs module. O(services), not O(connections). */
export async function readIpvs(): Promise<VirtualService[] | undefined> {
  const text = readIfPresent('/proc/net/ip_vs')
  return text === undefined ? undefined : parseIpvs(text)
}

/** Counters over all services; undefined without the ip_vs module. */
export async function readIpvsStats(): Promise<IpvsStats | undefined> {
  const text = readIfPresent('/proc/net/ip_vs_stats')
  return text === undefined ? undefined : parseIpvsStats(text)
}

/**
 * Streams the connection table, or one client's part of it. The kernel finds its place anew for every page that is read, so
 * a large table is slow to read: for a person's question, never for a scrape. No more than one page is held at a time.
 */
export async function* readIpvsConnections({
  client,
  path = '/proc/net/ip_vs_conn',
}: { client?: string; path?: string } = {}): AsyncGenerator<IpvsConnection> {
  const wanted = client === undefined ? undefined : ` ${hexadecimal(client)} `
  for await (const line of linesOf(path)) {
    // Of a hundred thousand lines few are asked for: the others are not taken apart.
    if (wanted !== undefined && line.slice(3, 13) !== wanted) continue
    const connection = parseIpvsConnection(line)
    if (connection !== undefined) yield connection
  }
}

/** Characters; lines of the kernel have some eighty. More of one are not kept: a file without any end of line is none of its. */
const longestLine = 4096

async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of createReadStream(path, 'latin1') as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n')
    rest = (lines.pop() ?? '').slice(0, longestLine)
    yield* lines
  }
  if (rest !== '') yield rest
}

/** An IPv4 address as the files of /proc write it: `192.168.50.10` is `C0A8320A`. */
export function hexadecimal(address: string): string {
  return address
    .split('.')
    .map((octet) => Number(octet).toString(16).toUpperCase().padStart(2, '0'))
    .join('')
}

function readIfPresent(path: string): string | undefined {
  try {
    return readMemoryFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Parses /proc/net/ip_vs: addresses, ports and marks are hexadecimal, weights and counts decimal. */
export function parseIpvs(text: string): VirtualService[] {
  const services: VirtualService[] = []
  for (const line of text.split('\n').slice(3)) {
    const words = line.trim().split(/\s+/)
    if (words[0] === '->') {
      const [, endpoint = '', forwarding = '', weight, active, inactive] = words
      services.at(-1)?.realServers.push({
        ...parseEndpoint(endpoint),
        forwarding,
        weight: Number(weight),
        activeConnections: Number(active),
        inactiveConnections: Number(inactive),
      })
    } else if (words[0] === 'FWM') {
      const [, mark = '0', scheduler = '', ...flags] = words
      services.push({ protocol: 'FWM', fwmark: Number.parseInt(mark, 16), scheduler, flags, realServers: [] })
    } else if (words[0] === 'TCP' || words[0] === 'UDP' || words[0] === 'SCTP') {
      const [protocol, endpoint = '', scheduler = '', ...flags] = words
      services.push({ protocol, ...parseEndpoint(endpoint), scheduler, flags, realServers: [] })
    }
  }
  return services
}

/** `C0A832F8:0050`, or `[2001:…]:0050`. */
function parseEndpoint(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':')
  const host = text.slice(0, colon)
  const address = host.startsWith('[') ? host.slice(1, -1) : dotted(host)
  return { address, port: Number.parseInt(text.slice(colon + 1), 16) }
}

function dotted(hex: string): string {
  const pairs = hex.match(/../g)
  return pairs === null ? hex : pairs.map((pair) => Number.parseInt(pair, 16)).join('.')
}

/** Parses /proc/net/ip_vs_stats, whose numbers are hexadecimal. */
export function parseIpvsStats(text: string): IpvsStats {
  const [totals = [], rates = []] = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words.length === 5 && words.every((word) => /^[0-9A-Fa-f]+$/.test(word)))
    .map((words) => words.map((word) => Number.parseInt(word, 16)))
  const at = (row: number[], index: number) => row[index] ?? 0
  return {
    connections: at(totals, 0),
    incomingPackets: at(totals, 1),
    outgoingPackets: at(totals, 2),
    incomingBytes: at(totals, 3),
    outgoingBytes: at(totals, 4),
    connectionsPerSecond: at(rates, 0),
    incomingPacketsPerSecond: at(rates, 1),
    outgoingPacketsPerSecond: at(rates, 2),
    incomingBytesPerSecond: at(rates, 3),
    outgoingBytesPerSecond: at(rates, 4),
  }
}

/** Parses one line of /proc/net/ip_vs_conn; undefined for its heading and for blank lines. */
export function parseIpvsConnection(line: string): IpvsConnection | undefined {
  const [protocol = '', client = '', clientPort, to = '', toPort, real = '', realPort, state = '', expires] = line
    .trim()
    .split(/\s+/)
  if (protocol === '' || protocol === 'Pro' || expires === undefined) return undefined
  const port = (hex: string | undefined) => Number.parseInt(hex ?? '0', 16)
  const ports = [port(clientPort), port(toPort), port(realPort)]
  if (!ports.every((number) => number >= 0 && number <= 0xffff)) return undefined
  if (!(Number(expires) >= 0 && Number(expires) <= 0xffffffff)) return undefined
  return {
    protocol,
    client: connectionAddress(client),
    clientPort: port(clientPort),
    destination: connectionAddress(to),
    destinationPort: port(toPort),
    realServer: connectionAddress(real),
    realServerPort: port(realPort),
    state,
    expires: Number(expires),
  }
}

function connectionAddress(text: string): string {
  return text.startsWith('[') ? text.slice(1, -1) : dotted(text)
}
