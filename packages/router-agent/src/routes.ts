import type { FastifyInstance } from 'fastify'
import { flowsRoute } from './flows.ts'
import type { Peers } from './peers.ts'
import type { Status } from './status.ts'

/** The router's own routes, beside those that every agent has. */
export function routerRoutes(status: Status, peers: Pick<Peers, 'noticed'>): (app: FastifyInstance) => void {
  return (app) => {
    app.get('/v1/ipvs', () => status.ipvs())
    app.get('/v1/vrrp', (request, reply) => {
      peers.noticed(request.ip)
      return reply.send(status.vrrp())
    })
    app.get('/v1/conntrack', () => status.conntrack())
    flowsRoute(app)
  }
}
