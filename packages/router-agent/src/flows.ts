/** One client's flows, as IPVS holds them, told while they are being read. */
import { isIPv4 } from 'node:net'
import { Readable } from 'node:stream'
import { readIpvsConnections, type IpvsConnection } from '@vpn-gateway/kernel'
import type { FastifyInstance, FastifyReply } from 'fastify'

/** Flows in an answer that names no limit, and the most that one may name. */
const defaultLimit = 1000
const mostLimit = 100_000
/** Milliseconds that one answer may read for; the kernel walks a table of hundreds of thousands for seconds. */
const readFor = 30_000
/** Answers at a time: each keeps one of Node's four file threads busy, and the agent itself reads files. */
const mostAtOnce = 2

/** What `GET /v1/flows` was asked for. */
export interface FlowsQuestion {
  client: string
  limit: number
}

/** Reads the question; a string says what is wrong with it, and names the field. */
export function parseFlowsQuestion(query: unknown): FlowsQuestion | string {
  const { client, limit = String(defaultLimit) } = (query ?? {}) as Record<string, unknown>
  if (typeof client !== 'string' || !isIPv4(client)) return 'client: expected the IPv4 address of one client'
  if (typeof limit !== 'string' || !/^\d{1,6}$/.test(limit) || Number(limit) < 1 || Number(limit) > mostLimit)
    return `limit: expected a number from 1 to ${mostLimit}`
  return { client, limit: Number(limit) }
}

/**
 * The answer, piece by piece: a JSON document whose last member says whether all flows are in it. A persistence template is
 * no flow and is left out.
 */
export async function* flowsDocument(
  { client, limit }: FlowsQuestion,
  connections: AsyncIterable<IpvsConnection>,
  now: () => number = performance.now.bind(performance),
): AsyncGenerator<string> {
  const until = now() + readFor
  let count = 0
  let complete = true
  yield `{"client":${JSON.stringify(client)},"flows":[`
  for await (const connection of connections) {
    if (connection.protocol === 'IP') continue
    if (count === limit || now() > until) {
      complete = false
      break
    }
    yield `${count === 0 ? '' : ','}\n${JSON.stringify(flow(connection))}`
    count += 1
  }
  yield `],\n"count":${count},"complete":${complete}}\n`
}

function flow(connection: IpvsConnection): object {
  const { protocol, clientPort, destination, destinationPort, realServer, state, expires } = connection
  return {
    protocol: protocol.toLowerCase(),
    clientPort,
    destination,
    destinationPort,
    gateway: realServer,
    state,
    expiresSeconds: expires,
  }
}

/** `GET /v1/flows?client=ADDRESS&limit=NUMBER`: streamed, and never the whole table in memory. */
export function flowsRoute(app: FastifyInstance): void {
  let running = 0
  app.get('/v1/flows', async (request, reply): Promise<FastifyReply> => {
    const question = parseFlowsQuestion(request.query)
    if (typeof question === 'string') return reply.code(400).send({ error: question })
    if (running >= mostAtOnce) {
      const error = `${mostAtOnce} listings of flows are running: ask again when one has ended`
      return reply.code(429).header('retry-after', '2').send({ error })
    }
    running += 1
    // A reader that goes away destroys the stream, and with it the reading of the table.
    const answer = Readable.from(flowsDocument(question, readIpvsConnections({ client: question.client })), {
      objectMode: false,
    })
    answer.once('close', () => (running -= 1))
    return reply.type('application/json').send(answer)
  })
}
