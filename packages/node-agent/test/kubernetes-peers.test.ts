/** The nodes of a cluster by a real HTTP server that speaks the API's list and watch protocol. */
import { execFileSync, spawnSync } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createKubernetesPeers, internalAddress } from '../src/kubernetes-peers.ts'

const node = (name: string, address: string, version = '1') => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, resourceVersion: version, managedFields: [{ manager: 'x'.repeat(5000) }] },
  status: {
    addresses: [
      { type: 'Hostname', address: name },
      { type: 'ExternalIP', address: '203.0.113.7' },
      { type: 'InternalIP', address },
    ],
  },
})

interface Request {
  query: URLSearchParams
  headers: IncomingMessage['headers']
  answer: (status: number, body: object) => void
  /** Begins a watch; each call writes one event. */
  stream: () => { send: (event: object) => void; write: (text: string) => void; end: () => void; cut: () => void }
  /** Resolves when the asker has closed the connection. */
  ended: () => Promise<unknown>
}

/** A server whose requests the test takes one by one and answers. */
async function apiServer(tls?: { key: string; cert: string; authority?: string }) {
  const waiting: Request[] = []
  const arrived = new EventEmitter()
  const take = (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '', 'http://x')
    expect(url.pathname).toBe('/api/v1/nodes')
    waiting.push({
      query: url.searchParams,
      headers: request.headers,
      answer: (status, body) => void response.writeHead(status).end(JSON.stringify(body)),
      ended: () => once(response, 'close'),
      stream() {
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
        return {
          // In two parts: a line may come in any.
          send(event) {
            const text = `${JSON.stringify(event)}\n`
            response.write(text.slice(0, 20))
            response.write(text.slice(20))
          },
          write: (text) => void response.write(text),
          end: () => void response.end(),
          cut: () => void response.destroy(),
        }
      },
    })
    arrived.emit('request')
  }
  const server = tls === undefined ? createServer(take) : createTlsServer(tls, take)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const credentials = await mkdtemp(join(tmpdir(), 'kubernetes-'))
  await writeFile(join(credentials, 'token'), 'first\n')
  if (tls?.authority !== undefined) await writeFile(join(credentials, 'ca.crt'), tls.authority)
  const told = new EventEmitter()
  const peers = createKubernetesPeers({
    api: {
      url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials,
    },
    family: 4,
    onChange: () => void told.emit('change'),
    log: { info: () => undefined, warn: (_fields: object, text?: string) => void told.emit('warn', text) },
    backoff: [1, 4],
  })
  onTestFinished(async () => {
    await peers.stop(AbortSignal.timeout(1000))
    server.closeAllConnections()
    server.close()
  })
  const next = async (): Promise<Request> => {
    while (waiting.length === 0) await once(arrived, 'request')
    return waiting.shift() as Request
  }
  await peers.start(new AbortController().signal)
  const changed = () => once(told, 'change')
  return { peers, next, told, changed, credentials }
}

const list = (version: string, ...items: object[]) => ({
  kind: 'NodeList',
  metadata: { resourceVersion: version },
  items,
})
const gone = { kind: 'Status', status: 'Failure', code: 410, reason: 'Expired', message: 'too old resource version' }

test('lists in pages, then watches from the version of the list; joins and leaves are followed', async () => {
  const { peers, next, changed } = await apiServer()
  const page = await next()
  expect(Object.fromEntries(page.query)).toEqual({ limit: '100' })
  expect(page.headers.authorization).toBe('Bearer first')
  page.answer(200, {
    ...list('7', node('a', '10.0.0.1')),
    metadata: { resourceVersion: '7', continue: 'more' },
  })
  const more = await next()
  expect(more.query.get('continue')).toBe('more')
  expect(peers.current()).toBeUndefined()
  let change = changed()
  more.answer(200, list('7', node('b', '10.0.0.2'), { metadata: { name: 'c' }, status: {} }))
  await change
  expect(peers.current()).toEqual({ addresses: ['10.0.0.1', '10.0.0.2'] })
  const watch = await next()
  expect(watch.query.get('resourceVersion')).toBe('7')
  expect(watch.query.get('allowWatchBookmarks')).toBe('true')
  const stream = watch.stream()
  change = changed()
  stream.send({ type: 'ADDED', object: node('d', '10.0.0.4', '8') })
  await change
  change = changed()
  stream.send({ type: 'DELETED', object: node('a', '10.0.0.1', '9') })
  await change
  expect(peers.current()).toEqual({ addresses: ['10.0.0.2', '10.0.0.4'] })
})

test('a watch that ends is taken up where it was left, a bookmark counts, and the token is read anew', async () => {
  const { next, peers, credentials } = await apiServer()
  ;(await next()).answer(200, list('7', node('a', '10.0.0.1')))
  const first = (await next()).stream()
  first.send({ type: 'MODIFIED', object: node('a', '10.0.0.1', '8') })
  first.send({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '20' } } })
  await writeFile(join(credentials, 'token'), 'second\n')
  first.end()
  const again = await next()
  expect(again.query.get('resourceVersion')).toBe('20')
  expect(again.headers.authorization).toBe('Bearer second')
  again.stream().cut()
  const third = await next()
  expect(third.query.get('resourceVersion')).toBe('20')
  expect(peers.current()).toEqual({ addresses: ['10.0.0.1'] })
})

test.each([
  ['as an event', (request: Request) => request.stream().send({ type: 'ERROR', object: gone })],
  ['as the answer to a watch', (request: Request) => request.answer(410, gone)],
])('410 Gone %s: lists anew, and what went meanwhile goes', async (_name, forget) => {
  const { next, peers, changed, told } = await apiServer()
  let warned = 0
  told.on('warn', () => warned++)
  ;(await next()).answer(200, list('7', node('a', '10.0.0.1'), node('b', '10.0.0.2')))
  forget(await next())
  const anew = await next()
  expect(anew.query.has('watch')).toBe(false)
  // Until then nothing is let go.
  expect(peers.current()).toEqual({ addresses: ['10.0.0.1', '10.0.0.2'] })
  const change = changed()
  anew.answer(200, list('90', node('b', '10.0.0.2')))
  await change
  expect(peers.current()).toEqual({ addresses: ['10.0.0.2'] })
  expect((await next()).query.get('resourceVersion')).toBe('90')
  expect(warned).toBe(0)
})

test('a server that refuses is named, asked again, and does not cost the peers', async () => {
  const { next, peers, changed } = await apiServer()
  ;(await next()).answer(403, { kind: 'Status', message: 'nodes is forbidden' })
  const retry = await next()
  expect(peers.status()).toMatchObject({
    problem: "following the cluster's nodes: GET /api/v1/nodes: 403 nodes is forbidden",
  })
  const change = changed()
  retry.answer(200, list('7', node('a', '10.0.0.1')))
  await change
  ;(await next()).answer(500, {})
  const listed = await next()
  expect(peers.status()).toMatchObject({ source: 'kubernetes', problem: expect.stringContaining('500') })
  expect(peers.current()).toEqual({ addresses: ['10.0.0.1'] })
  listed.answer(200, list('8', node('a', '10.0.0.1')))
  const stream = (await next()).stream()
  const change2 = changed()
  stream.send({ type: 'ADDED', object: node('b', '10.0.0.2', '9') })
  await change2
  expect(peers.status()).not.toHaveProperty('problem')
})

/** A key and the certificate that it signed itself, for the address that servers of this test have. */
async function selfSigned() {
  const directory = await mkdtemp(join(tmpdir(), 'kubernetes-tls-'))
  const [key, cert] = [join(directory, 'key'), join(directory, 'certificate')]
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert]
  const subject = ['-subj', '/CN=api', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...made, ...subject], { stdio: 'ignore' })
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
}

describe.skipIf(spawnSync('openssl', ['version']).error !== undefined)('over TLS', () => {
  test.each([
    ['no authority', async () => undefined],
    ['another authority', async () => (await selfSigned()).cert],
  ])('a pod that was given %s asks nothing; given the right one it does', async (_name, authority) => {
    const own = await selfSigned()
    const given = await authority()
    const { peers, next, changed, credentials } = await apiServer({ ...own, ...(given && { authority: given }) })
    await expect
      .poll(() => peers.status(), { timeout: 20_000 })
      .toMatchObject({ problem: expect.stringMatching(/^following the cluster's nodes: .*certificate/) })
    expect(peers.current()).toBeUndefined()
    const change = changed()
    await writeFile(join(credentials, 'ca.crt'), own.cert)
    const request = await next()
    expect(request.headers.authorization).toBe('Bearer first')
    request.answer(200, list('7', node('a', '10.0.0.1')))
    await change
    expect(peers.current()).toEqual({ addresses: ['10.0.0.1'] })
  })
})

test('of a node with addresses of both versions, the one of the underlay', () => {
  const dual = {
    status: {
      addresses: [
        { type: 'InternalIP', address: '10.0.0.1' },
        { type: 'InternalIP', address: '2001:db8::1' },
      ],
    },
  }
  expect([internalAddress(dual, 4), internalAddress(dual, 6), internalAddress({}, 4)]).toEqual([
    '10.0.0.1',
    '2001:db8::1',
    undefined,
  ])
})

test.each([
  ['no event', 'null', 'the watch told no event'],
  ['no JSON', '{"type":', 'the watch told what is no JSON'],
])('%s ends the watch and its connection, and is named', async (_name, line, problem) => {
  const { next, told } = await apiServer()
  ;(await next()).answer(200, list('7', node('a', '10.0.0.1')))
  const watch = await next()
  const warned = once(told, 'warn')
  const ended = watch.ended()
  watch.stream().write(`${line}\n`)
  expect(await warned).toEqual([`following the cluster's nodes: ${problem}`])
  await ended
  expect((await next()).query.get('resourceVersion')).toBe('7')
})

test('a list that names a next page and brings nothing is given up', async () => {
  const { next, told } = await apiServer()
  const warned = once(told, 'warn')
  ;(await next()).answer(200, { ...list('7'), metadata: { resourceVersion: '7', continue: 'more' } })
  expect(await warned).toEqual(["following the cluster's nodes: GET /api/v1/nodes: the list does not end"])
})
