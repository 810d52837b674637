/** Requests and bytes to the agents' HTTP servers over real sockets: a documented status or the end of the connection. */
import fc from 'fast-check'
import { Agent, request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { bytesLike, damaged, repeated } from '../../../test/fuzz/src/inputs.ts'
import { startServers, type TestServer } from './http-server.ts'

/** What servers say to what they were sent; 500 would be a fault of theirs, since nothing behind them fails. */
const documented = new Set([200, 400, 403, 404, 408, 413, 414, 415, 417, 429, 431, 503])

let servers: TestServer[] = []
const agent = new Agent({ keepAlive: true, maxSockets: 4 })

async function prepare(): Promise<() => Promise<void>> {
  servers = await startServers()
  return async () => {
    await requireAlive()
    await Promise.all(servers.map((server) => server.close()))
    agent.destroy()
  }
}

interface Asked {
  server: number
  method: string
  path: string
  headers: Record<string, string>
  body: Buffer
}

/** Resolves with the status once the whole answer is there; undefined when the connection ended before. */
function ask(
  { server, method, path, headers, body }: Asked,
  connections: Agent | false = agent,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const port = servers[server % servers.length]?.port ?? 0
    const sent = request(
      { host: '127.0.0.1', port, method, path, headers, agent: connections },
      (response: IncomingMessage) => {
        response.resume()
        response.once('end', () => resolve(response.statusCode))
        response.once('error', () => resolve(undefined))
      },
    )
    // A server that has answered already may close before the whole body is there.
    sent.once('error', (error: NodeJS.ErrnoException) =>
      ['ECONNRESET', 'EPIPE', 'HPE_INVALID_CONSTANT'].includes(error.code ?? '') ? resolve(undefined) : reject(error),
    )
    sent.end(body)
  })
}

/** Over new connections: a kept one may be about to be closed by a server that did not read a whole body (RFC 9112, 9.6). */
async function requireAlive(): Promise<void> {
  for (const [server] of servers.entries()) {
    const status = await ask({ server, method: 'GET', path: '/livez', headers: {}, body: Buffer.alloc(0) }, false)
    if (status !== 200) throw new Error(`/livez answers ${status}`)
  }
  // A listing of flows whose asker went away must not keep its place: no more than two run at a time.
  const flows = { server: 2, method: 'GET', path: '/v1/flows?client=192.168.50.10', headers: {}, body: Buffer.alloc(0) }
  if ((await ask(flows, false)) === 429) throw new Error('listings of flows are left running')
}

const paths = [
  '/livez',
  '/readyz',
  '/metrics',
  '/v1/status',
  '/v1/tunnel',
  '/v1/forwards',
  '/v1/drain',
  '/v1/networks',
  '/v1/modules',
  '/v1/findings',
  '/v1/ipvs',
  '/v1/vrrp',
  '/v1/conntrack',
  '/v1/flows?client=192.168.50.10&limit=5',
  '/v1/flows?client[]=1&client=2&__proto__=3&limit=%00',
]

/** Clients refuse to send others themselves; those are the bytes' matter. */
const sendable = (text: string) => text.replaceAll(/[^\u0021-\u00ff]/g, '') || '/'
const path = fc.oneof(
  { weight: 200, arbitrary: fc.constantFrom(...paths) },
  { weight: 100, arbitrary: damaged(paths).map(sendable) },
  {
    weight: 20,
    arbitrary: fc.webQueryParameters().map((query) => `/v1/flows?${query}`.replaceAll(/[^\u0021-\u00ff]/g, '')),
  },
  { weight: 1, arbitrary: repeated(paths, 20_000).map(sendable) },
)
const visible = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 40,
})
const someHeaders = fc.dictionary(
  fc.constantFrom(
    'accept',
    'x-forwarded-for',
    'content-type',
    'host',
    'range',
    'accept-encoding',
    'if-none-match',
    'cookie',
    'origin',
    'content-encoding',
    'accept-version',
  ),
  fc.oneof(
    visible,
    fc.constantFrom(
      'application/json',
      'text/plain',
      'application/json; charset=x',
      'multipart/form-data',
      '127.0.0.1',
    ),
  ),
  { maxKeys: 5 },
)
const headers = fc.oneof(fc.constant({}), someHeaders)
const body = fc.oneof(
  { weight: 300, arbitrary: fc.constant(Buffer.alloc(0)) },
  { weight: 60, arbitrary: bytesLike([Buffer.from('{"draining":true}'), Buffer.from('{"__proto__":{"a":1}}')]) },
  // The limit is 16 KiB.
  { weight: 6, arbitrary: fc.integer({ min: 16_000, max: 200_000 }).map((length) => Buffer.alloc(length, '{')) },
)

const whole = [
  'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n',
  'PUT /v1/drain HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
  'DELETE /v1/drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  'GET /v1/flows?client=10.0.0.1 HTTP/1.0\r\nConnection: close\r\n\r\n',
  'GET /metrics HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nExpect: 100-continue\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
]

/** Sends the bytes and this side's end; resolves with what came first of an answer, or with nothing when the connection ends. */
function send(server: number, bytes: Buffer, host: string): Promise<string> {
  return new Promise((resolve) => {
    const port = servers[server % servers.length]?.port ?? 0
    const socket = connect({ host, port, allowHalfOpen: true })
    const end = (answer: string) => {
      // No port is kept waiting for late segments: a hundred thousand connections would run out of them.
      socket.resetAndDestroy()
      resolve(answer)
    }
    socket.once('data', (data) => end(data.toString('latin1')))
    socket.once('end', () => end(''))
    socket.once('close', () => end(''))
    socket.on('error', () => end(''))
    socket.end(bytes)
  })
}

let connections = 0

export const httpClasses: readonly FuzzClass[] = [
  fuzzClass({
    name: 'HTTP requests to every route',
    inputs: fc.record({
      server: fc.nat(2),
      method: fc.constantFrom(
        ...Array.from({ length: 9 }, () => 'GET'),
        'HEAD',
        'PUT',
        'DELETE',
        'POST',
        'PATCH',
        'OPTIONS',
        'TRACE',
        'PROPFIND',
        'QUERY',
      ),
      path,
      headers,
      body,
    }),
    prepare,
    async check(asked) {
      const status = await ask(asked)
      if (status !== undefined && !documented.has(status)) throw new Error(`status ${status}`)
    },
  }),
  fuzzClass({
    name: 'bytes to the HTTP port',
    inputs: fc.tuple(
      fc.nat(2),
      fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom(...whole).map((text) => Buffer.from(text, 'latin1')) },
        { weight: 60, arbitrary: damaged(whole).map((text) => Buffer.from(text, 'latin1')) },
        { weight: 30, arbitrary: bytesLike(whole.map((text) => Buffer.from(text, 'latin1'))) },
        { weight: 10, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
        { weight: 1, arbitrary: repeated(whole, 100_000).map((text) => Buffer.from(text, 'latin1')) },
      ),
    ),
    prepare,
    async check([server, bytes]) {
      connections += 1
      const answer = await send(server, bytes, `127.0.${(connections >> 8) & 127}.${(connections & 127) + 1}`)
      if (answer === '') return
      const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? []
      if (status !== '100' && !documented.has(Number(status))) throw new Error(`answers ${answer.slice(0, 200)}`)
    },
  }),
]
