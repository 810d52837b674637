import type { FastifyInstance } from 'fastify'
import type { NodeStatus } from './status.ts'

/** The node's own routes, beside those that every agent has. */
export function nodeRoutes(
  status: Pick<NodeStatus, 'networks' | 'modules' | 'findings'>,
): (app: FastifyInstance) => void {
  return (app) => {
    app.get('/v1/networks', () => status.networks())
    app.get('/v1/modules', () => status.modules())
    app.get('/v1/findings', () => status.findings())
  }
}
