/** The agents' HTTP servers with their own routes, over loopback, before parts that say little. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { gatewayRoutes } from '../../gateway-agent/src/routes.ts'
import { nodeRoutes } from '../../node-agent/src/routes.ts'
import { routerRoutes } from '../../router-agent/src/routes.ts'
import { createHttp } from '../src/http.ts'
import { createLog } from '../src/log.ts'
import { createRegistry } from '../src/metrics.ts'
import { openPort } from '../src/port.ts'

export interface TestServer {
  port: number
  close(): Promise<void>
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function routesOf(): ((app: FastifyInstance) => void)[] {
  let draining = false
  const drain = {
    active: () => draining,
    request: (on: boolean) => void (draining = on),
    untilIdle: async () => undefined,
  }
  const nothing = async () => ({})
  const router = { ipvs: nothing, vrrp: () => ({ peers: [] }), conntrack: nothing }
  return [
    gatewayRoutes({ tunnel: nothing as never, forwards: async () => [] }, drain),
    nodeRoutes({ networks: async () => [], modules: () => [], findings: () => [] }),
    routerRoutes(router as unknown as Parameters<typeof routerRoutes>[0], { noticed: () => undefined }),
  ]
}

/** Starts a server for each agent, on all addresses of the loopback link. */
export async function startServers(): Promise<TestServer[]> {
  return Promise.all(
    routesOf().map(async (routes) => {
      const port = await freePort()
      const http = createHttp({
        port: await openPort({ host: '0.0.0.0', port }),
        log: createLog({ agent: 'test', name: 'test' }, 'silent'),
        registry: createRegistry('test', '0'),
        readiness: () => ({ state: 'ready', reasons: [] }),
        status: () => ({}),
        routes,
      })
      await http.start(AbortSignal.timeout(10_000))
      return { port, close: () => http.stop(AbortSignal.timeout(10_000)) }
    }),
  )
}
