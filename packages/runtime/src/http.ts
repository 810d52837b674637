/** The HTTP side of every agent: health, metrics, status. Limits keep slow and idle clients from delaying a health answer. */
import { fastify, type FastifyInstance } from 'fastify'
import { UserError } from '@vpn-gateway/config'
import type { Component } from './component.ts'
import type { Log } from './log.ts'
import { createScrape, type Registry } from './metrics.ts'

/** What /readyz answers: 200 for `ready`, 503 for the others, with the reasons. */
export interface Readiness {
  state: 'ready' | 'draining' | 'unready'
  /** One line each; empty when ready. */
  reasons: string[]
}

export interface HttpOptions {
  host: string
  port: number
  log: Log
  registry: Registry
  readiness: () => Readiness
  /** Why the process should be started anew, one line each; empty while it turns. */
  alive?: () => string[]
  status: () => object | Promise<object>
  routes?: (app: FastifyInstance) => void
}

/** Bytes of a request body; no route needs more than a word. */
const bodyLimit = 16 * 1024
/** Milliseconds until a request must have arrived whole. */
const requestTimeout = 5000
/** Milliseconds between two looks for requests that are overdue; Node's own 30 s would let a slow client stay that long. */
const overdueInterval = 1000
/** Connections at once; more are closed at once, so that descriptors are left for the daemons. */
const mostConnections = 4096

/** HTTP server with /livez, /readyz, /metrics, /v1/status and the agent's own routes. */
export function createHttp(options: HttpOptions): Component {
  const { host, port, log, registry, readiness, alive = () => [], status } = options
  const scrape = createScrape(registry, log)
  const app = fastify({
    bodyLimit,
    http: { connectionsCheckingInterval: overdueInterval },
    requestTimeout,
    connectionTimeout: 2 * requestTimeout,
    keepAliveTimeout: requestTimeout,
    forceCloseConnections: true,
    logger: false,
  })
  app.server.maxConnections = mostConnections
  app.server.headersTimeout = requestTimeout
  app.get('/livez', async (_request, reply) => {
    const reasons = alive()
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ state: reasons.length === 0 ? 'alive' : 'stuck', reasons })
  })
  app.get('/readyz', async (_request, reply) => {
    const answer = readiness()
    return reply.code(answer.state === 'ready' ? 200 : 503).send(answer)
  })
  app.get('/metrics', async (_request, reply) => reply.type(registry.contentType).send(await scrape()))
  app.get('/v1/status', () => status())
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ error: `no ${request.method} ${request.url.slice(0, 200)} here` }),
  )
  app.setErrorHandler((error, request, reply) => {
    const code =
      error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500
    const message = error instanceof Error ? error.message : String(error)
    if (code >= 500) log.error({ path: request.url.slice(0, 200), error: message }, 'request failed')
    return reply.code(code).send({ error: code >= 500 ? 'internal error, see the log' : message })
  })
  options.routes?.(app)
  return {
    name: 'http',
    async start() {
      try {
        await app.listen({ host, port })
        // performance.now() counts from the start of the process.
        log.info({ listen: `${host}:${port}`, milliseconds: Math.round(performance.now()) }, 'listening')
      } catch (error) {
        throw new UserError(`--listen: ${host}:${port}: ${listenProblem(error)}`)
      }
    },
    stop: () => app.close(),
  }
}

function listenProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EADDRINUSE') return 'address already in use: expected a free port'
  if (code === 'EADDRNOTAVAIL') return 'no such address here'
  if (code === 'EACCES') return 'not permitted: expected a port above 1023'
  return error instanceof Error ? error.message : String(error)
}
