import { describe, expect, test } from 'vitest'
import { choose, createEndpoints, knownEndpoints } from '../src/endpoint.ts'
import type { TunnelPeer } from '../src/tunnel-file.ts'

const silent = { info() {}, warn() {} }
const peer = (host: string): TunnelPeer => ({
  publicKey: 'peer',
  allowedIps: ['0.0.0.0/0'],
  endpoint: { host, port: 51820 },
})
const failure = (code: string) => Object.assign(new Error(`getaddrinfo ${code}`), { code })

/** Endpoints of one peer, started and looked up once. */
async function started(host: string, answer: () => Promise<string[]>, known?: ReadonlyMap<string, string>) {
  const endpoints = createEndpoints({
    peers: () => [peer(host)],
    onChange: () => {},
    log: silent,
    lookup: answer,
    ...(known === undefined ? {} : { known }),
  })
  await endpoints.start(new AbortController().signal)
  await endpoints.stop(AbortSignal.timeout(1000))
  return endpoints
}

describe('choosing an address', () => {
  test.each([
    ['the one in use, wherever it stands', ['192.0.2.1', '192.0.2.2'], '192.0.2.2', '192.0.2.2'],
    ['the first of IPv4 when the one in use is gone', ['2001:db8::1', '192.0.2.1'], '192.0.2.9', '192.0.2.1'],
    ['IPv6 when there is nothing else', ['2001:db8::1'], undefined, '2001:db8::1'],
    ['nothing of nothing', [], '192.0.2.9', undefined],
  ])('%s', (_name, answers, held, chosen) => {
    expect(choose(answers, held)).toBe(chosen)
  })
})

test('addresses need no resolver', async () => {
  const never = () => Promise.reject(new Error('asked'))
  expect([...(await started('198.51.100.20', never)).current().values()]).toEqual(['198.51.100.20:51820'])
  expect([...(await started('2001:db8::5', never)).current().values()]).toEqual(['[2001:db8::5]:51820'])
})

test('a name is resolved', async () => {
  const endpoints = await started('vpn.example', () => Promise.resolve(['192.0.2.7']))
  expect(endpoints.current().get('peer')).toBe('192.0.2.7:51820')
  expect(endpoints.problems()).toEqual([])
})

test('a name that cannot be resolved is a problem that says so', async () => {
  const endpoints = await started('vpn.example', () => Promise.reject(failure('ENOTFOUND')))
  expect(endpoints.current().size).toBe(0)
  expect(endpoints.problems()).toEqual(['resolving endpoint vpn.example: ENOTFOUND'])
})

test('what the kernel holds from an earlier process serves without asking', async () => {
  const known = knownEndpoints({
    name: 'wg0',
    listenPort: 1,
    peers: [
      { publicKey: 'peer', endpoint: '[2001:db8::7]:51820', allowedIps: [], latestHandshake: 0, received: 0, sent: 0 },
    ],
  })
  const endpoints = await started('vpn.example', () => Promise.reject(failure('EAI_AGAIN')), known)
  expect(endpoints.current().get('peer')).toBe('[2001:db8::7]:51820')
  expect(endpoints.problems()).toEqual([])
})

/** Endpoints whose name has the addresses of `answers`, as they are at each question. */
async function following(answers: string[]) {
  const endpoints = createEndpoints({
    peers: () => [peer('vpn.example')],
    onChange: () => {},
    log: silent,
    lookup: () => Promise.resolve([...answers]),
  })
  expect(await endpoints.resolve()).toBe(true)
  return { endpoints, at: () => endpoints.current().get('peer')?.replace(':51820', '') }
}

test('asked again, the name gives another address only when the one in use is gone', async () => {
  const answers = ['192.0.2.7']
  const { endpoints, at } = await following(answers)
  answers.unshift('192.0.2.8')
  expect(await endpoints.resolve()).toBe(false)
  expect(at()).toBe('192.0.2.7')
  answers.pop()
  expect(await endpoints.resolve()).toBe(true)
  expect(at()).toBe('192.0.2.8')
})

test('every address of a name has its turn, IPv6 not beside IPv4', async () => {
  const { endpoints, at } = await following(['192.0.2.7', '2001:db8::7', '192.0.2.8', '192.0.2.9'])
  expect(endpoints.alternatives()).toBe(2)
  const turns = [at()]
  while (endpoints.advance()) turns.push(at())
  expect(turns).toEqual(['192.0.2.7', '192.0.2.8', '192.0.2.9'])
  expect(endpoints.advance()).toBe(true)
  endpoints.forgetTried()
})

test('a resolver that does not answer holds recovery up for seconds only', async () => {
  const endpoints = createEndpoints({
    peers: () => [peer('vpn.example')],
    onChange: () => {},
    log: silent,
    lookup: () => new Promise(() => undefined),
  })
  expect(await endpoints.resolve()).toBe(false)
})

test('an answer that comes too late for recovery is put to use all the same', async () => {
  let answer = (_addresses: string[]) => {}
  let told = 0
  const endpoints = createEndpoints({
    peers: () => [peer('vpn.example')],
    onChange: () => void told++,
    log: silent,
    lookup: () => new Promise((resolve) => (answer = resolve)),
    known: new Map([['peer', '192.0.2.7:51820']]),
  })
  // Nothing is asked for by itself: the address is known.
  await endpoints.start(new AbortController().signal)
  expect(await endpoints.resolve()).toBe(false)
  answer(['192.0.2.8'])
  await expect.poll(() => told).toBe(1)
  expect(endpoints.current().get('peer')).toBe('192.0.2.8:51820')
  await endpoints.stop(AbortSignal.timeout(1000))
})

test('another host name for the same key, as in the next file, has no address of the one before', async () => {
  let host = 'a.example'
  const waiting: (() => void)[] = []
  const endpoints = createEndpoints({
    peers: () => [peer(host)],
    onChange: () => {},
    log: silent,
    lookup: (name) =>
      new Promise((resolve) => waiting.push(() => resolve([name === 'a.example' ? '192.0.2.8' : '192.0.2.9']))),
    known: new Map([['peer', '192.0.2.7:51820']]),
  })
  const [former, latter] = [endpoints.resolve(), ((host = 'b.example'), endpoints.resolve())]
  expect(endpoints.current().size).toBe(0)
  // The answers come in the other order.
  for (const give of waiting.toReversed()) give()
  expect(await latter).toBe(true)
  await former
  expect(endpoints.current().get('peer')).toBe('192.0.2.9:51820')
})

test('a server that gets another key is where it was', async () => {
  let publicKey = 'peer'
  const endpoints = createEndpoints({
    peers: () => [{ ...peer('vpn.example'), publicKey }],
    onChange: () => {},
    log: silent,
    lookup: () => Promise.reject(failure('EAI_AGAIN')),
    known: new Map([['peer', '192.0.2.7:51820']]),
  })
  publicKey = 'another'
  expect([...endpoints.current()]).toEqual([['another', '192.0.2.7:51820']])
})
