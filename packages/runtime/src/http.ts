/** The HTTP side of every agent: health, metrics, status. */
import type { RequestListener } from 'node:http'
import { fastify, type FastifyInstance } from 'fastify'
import type { Component } from './component.ts'
import type { Log } from './log.ts'
import { createScrape, type Registry } from './metrics.ts'
import type { Port } from './port.ts'

/** What /readyz answers: 200 for `ready`, 503 for the others, with the reasons. */
export interface Readiness {
  state: 'ready' | 'draining' | 'unready'
  /** One line each; empty when ready. */
  reasons: string[]
}

export interface HttpOptions {
  port: Port
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

/** /livez, /readyz, /metrics, /v1/status and the agent's own routes, on a port that is open. */
export function createHttp(options: HttpOptions): Component {
  const { port, log, registry, readiness, alive = () => [], status } = options
  const scrape = createScrape(registry, log)
  let handle: RequestListener = () => undefined
  const app = fastify({
    bodyLimit,
    serverFactory(handler) {
      handle = handler
      return port.server
    },
    logger: false,
  })
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
      await app.ready()
      port.handOver(handle)
    },
    async stop() {
      await app.close()
      await port.close()
    },
  }
}
