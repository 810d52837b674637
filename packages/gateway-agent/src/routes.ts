import type { FastifyInstance } from 'fastify'
import type { Drain } from './drain.ts'
import type { GatewayStatus } from './status.ts'

/** The gateway's own routes, beside those that every agent has. */
export function gatewayRoutes(
  status: Pick<GatewayStatus, 'tunnel' | 'forwards'>,
  drain: Drain,
): (app: FastifyInstance) => void {
  return (app) => {
    app.get('/v1/tunnel', () => status.tunnel())
    app.get('/v1/forwards', () => status.forwards())
    for (const method of ['PUT', 'DELETE'] as const) {
      app.route({
        method,
        url: '/v1/drain',
        async handler(request, reply) {
          if (!isLoopback(request.socket.remoteAddress)) {
            return reply.code(403).send({ error: 'draining can be asked for from this host only' })
          }
          drain.request(method === 'PUT')
          return { draining: drain.active() }
        },
      })
    }
  }
}

/** The connection's own address; headers say nothing. */
function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(?:::ffff:)?127\.|^::1$/.test(address)
}
