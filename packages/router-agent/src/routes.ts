import type { FastifyInstance } from 'fastify'
import type { Status } from './status.ts'

/** The router's own routes, beside those that every agent has. */
export function routerRoutes(status: Status): (app: FastifyInstance) => void {
  return (app) => {
    app.get('/v1/ipvs', () => status.ipvs())
    app.get('/v1/vrrp', async () => status.vrrp())
    app.get('/v1/conntrack', () => status.conntrack())
  }
}
