/**
 * The port of an agent: open, and answering for its health, before the rest of the agent is loaded. Limits keep slow and idle
 * clients from delaying a health answer.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import { UserError } from '@vpn-gateway/config/errors'

export interface Port {
  host: string
  port: number
  server: Server
  /** Milliseconds from the start of the process until the port was open. */
  openAfter: number
  /** Has the agent itself answer from now on. */
  handOver: (handle: RequestListener) => void
  /** Resolves once no connection is left; those that are open are closed. */
  close: () => Promise<void>
}

/** Milliseconds until a request must have arrived whole. */
const requestTimeout = 5000
/** Milliseconds between two looks for requests that are overdue; Node's own 30 s would let a slow client stay that long. */
const overdueInterval = 1000
/** Connections at once; more are closed at once, so that descriptors are left for the daemons. */
const mostConnections = 4096

/** Opens the port and answers there as an agent that is only starting; throws a `UserError` where it cannot be had. */
export async function openPort({ host, port }: { host: string; port: number }): Promise<Port> {
  const server = createServer({
    connectionsCheckingInterval: overdueInterval,
    requestTimeout,
    headersTimeout: requestTimeout,
    keepAliveTimeout: requestTimeout,
  })
  server.setTimeout(2 * requestTimeout)
  server.maxConnections = mostConnections
  server.on('request', starting)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new UserError(`--listen: ${host}:${port}: ${listenProblem(error)}`)))
    server.listen({ host, port }, resolve)
  })
  return {
    host,
    port,
    server,
    // performance.now() counts from the start of the process.
    openAfter: Math.round(performance.now()),
    handOver(handle) {
      server.off('request', starting)
      server.on('request', handle)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Milliseconds after which an agent that is still starting will not be done by waiting: its commands have deadlines. */
const longestStart = 120_000

const starting: RequestListener = ({ url = '' }, response) => {
  const { code, body } = startingAnswer(url, performance.now())
  response.writeHead(code, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
}

/** What an agent that began so many milliseconds ago and has no parts yet answers: that its event loop turns. */
export function startingAnswer(path: string, milliseconds: number): { code: number; body: object } {
  if (path === '/readyz') return { code: 503, body: { state: 'unready', reasons: ['starting'] } }
  if (path !== '/livez') return { code: 503, body: { error: 'starting' } }
  if (milliseconds <= longestStart) return { code: 200, body: { state: 'alive', reasons: [] } }
  return { code: 503, body: { state: 'stuck', reasons: [`still starting after ${longestStart / 1000} s`] } }
}

function listenProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EADDRINUSE') return 'address already in use: expected a free port'
  if (code === 'EADDRNOTAVAIL') return 'no such address here'
  if (code === 'EACCES') return 'not permitted: expected a port above 1023'
  return error instanceof Error ? error.message : String(error)
}
