import { isDeepStrictEqual } from 'node:util'
import { readIpvs, type RealServer, type VirtualService } from '@vpn-gateway/kernel'
import type { Component } from '@vpn-gateway/runtime'
import { flowMark } from './router.ts'

/** IPVS' table of services as it was last read. */
export interface IpvsView extends Component {
  /** Real servers of the client service, draining ones included. */
  realServers(): readonly RealServer[]
  /** Gateways that take new flows, with their weight, by address. */
  live(): ReadonlyMap<string, number>
  /** How many gateways are in service, draining ones included; 0 when none takes new flows. */
  reached(): number
  /** Reads again soon; for whoever heard that something changed. */
  refresh(): void
  /** Established flows, over all services, as last counted by the kernel; UDP is never established. */
  flows(): number
  /** Unix seconds of the last reading; undefined before the first. */
  readAt(): number | undefined
}

/** Milliseconds between two readings when nobody heard of a change: FIFO lines can be lost. */
const pollEvery = 1000
/** Milliseconds that news is gathered. */
const debounce = 50

/** Reads /proc/net/ip_vs, which names services and servers, never connections. `onLive` is told when the live ones change. */
export function createIpvsView(onLive: () => void): IpvsView {
  let servers: readonly RealServer[] = []
  let live: ReadonlyMap<string, number> = new Map()
  let flows = 0
  let readAt: number | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = true

  function schedule(after: number): void {
    clearTimeout(timer)
    if (!stopped) timer = setTimeout(() => void read(), after)
  }

  async function read(): Promise<void> {
    const services = await readIpvs().catch(() => undefined)
    const found = clientService(services)?.realServers ?? []
    const now = liveServers(found)
    const changed = !isDeepStrictEqual(now, live) || found.length !== servers.length
    servers = found
    live = now
    flows = countFlows(services)
    readAt = Date.now() / 1000
    if (changed) onLive()
    schedule(pollEvery)
  }

  return {
    name: 'ipvs-view',
    async start() {
      stopped = false
      await read()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
    },
    realServers: () => servers,
    live: () => live,
    reached: () => (live.size === 0 ? 0 : servers.length),
    flows: () => flows,
    readAt: () => readAt,
    refresh: () => schedule(debounce),
  }
}

/** The service that carries clients' flows, by its mark. */
export function clientService(services: readonly VirtualService[] | undefined): VirtualService | undefined {
  return services?.find((service) => service.protocol === 'FWM' && service.fwmark === flowMark)
}

/** Flows under way by the counters of the real servers: the table of connections itself may be long. */
function countFlows(services: readonly VirtualService[] | undefined): number {
  const servers = (services ?? []).flatMap(({ realServers }) => realServers)
  return servers.reduce((sum, { activeConnections }) => sum + activeConnections, 0)
}

/** Servers that take new flows, with weights, in order of their addresses' text. */
export function liveServers(servers: readonly RealServer[]): ReadonlyMap<string, number> {
  return new Map(
    servers
      .filter(({ weight }) => weight > 0)
      .map(({ address, weight }): [string, number] => [address, weight])
      .sort(([a], [b]) => a.localeCompare(b)),
  )
}
