/** The exit's address, asked of a real server; the whole of 127.0.0.0/8 is local, so that it shows who asked. */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createExitAddressWatch, type ExitAddressOptions } from '../src/exit-address.ts'
import { requestExitAddress } from '../src/exit-request.ts'

const tunnelAddress = '127.0.0.2'
const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

/** URL of a server that is there until the end of the test. */
async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  endings.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/ip`
}

/** One second is not enough where others use the processor too. */
const poll = <T>(read: () => T) => expect.poll(read, { timeout: 20_000 })

const ask = (url: string, signal = new AbortController().signal) => requestExitAddress(url, tunnelAddress, signal)

describe('a request', () => {
  test('comes from the address that it is bound to, and the first line of the answer counts', async () => {
    const url = await serve((request, response) => response.end(` ${request.socket.remoteAddress}\r\nmore\r\n`))
    expect(await ask(url)).toBe(tunnelAddress)
  })

  test.each<[string, RequestListener, RegExp]>([
    ['another status', (_, response) => response.writeHead(503).end('192.0.2.1'), /^status 503, expected 200$/],
    [
      'a redirect',
      (_, response) => response.writeHead(302, { location: '/other' }).end(),
      /^status 302, expected 200$/,
    ],
    ['a page', (_, response) => response.end('<html>192.0.2.1</html>'), /no IPv4 address$/],
    ['nothing', (_, response) => response.end(), /no IPv4 address$/],
    ['IPv6', (_, response) => response.end('2001:db8::1\n'), /no IPv4 address$/],
    [
      'an address with more than 1 KiB behind it',
      (_, response) => response.end(`192.0.2.1\n${'x'.repeat(1024)}`),
      /longer than 1024 bytes$/,
    ],
    ['an answer without end', (_, response) => endless(response), /longer than 1024 bytes$/],
    [
      'an end in the middle',
      (_, response) => {
        response.writeHead(200, { 'content-length': 100 })
        response.write('192.0.2.1\n', () => response.destroy())
      },
      /aborted/,
    ],
    ['a connection that is dropped', (request) => request.socket.destroy(), /socket hang up/],
  ])('%s is no address', async (_name, answer, reason) => {
    await expect(ask(await serve(answer))).rejects.toThrow(reason)
  })

  test('silence is bounded, before the answer and within it', { timeout: 20_000 }, async () => {
    const silent = await serve(() => {})
    const halting = await serve((_, response) => void response.write('192.0.2.'))
    const expected = expect.objectContaining({ message: 'no answer within 5 s' })
    expect(await Promise.allSettled([ask(silent), ask(halting)])).toEqual([
      { status: 'rejected', reason: expected },
      { status: 'rejected', reason: expected },
    ])
  })

  test('ends when it is not wanted any more', async () => {
    const wanted = new AbortController()
    const url = await serve(() => wanted.abort())
    await expect(ask(url, wanted.signal)).rejects.toThrow(/abort/i)
  })

  test('speaks TLS where the URL says so', async () => {
    const url = await serve((_, response) => response.end('192.0.2.1'))
    await expect(ask(url.replace('http:', 'https:'))).rejects.toThrow(/SSL|TLS/i)
  })
})

function endless(response: Parameters<RequestListener>[1]): void {
  if (!response.destroyed) response.write('x'.repeat(100), () => setImmediate(endless, response))
}

describe('the watch', { timeout: 30_000 }, () => {
  const quick = { tick: 0.01, settle: 0.02, period: 0.05, retry: 0.02 }

  /** A started watch on a tunnel that is up, unless said otherwise, and what it logged. */
  async function watch(options: Partial<ExitAddressOptions>) {
    const logged: string[] = []
    const say = (_: object, message: string) => void logged.push(message)
    const watching = createExitAddressWatch({
      url: undefined,
      localAddress: () => tunnelAddress,
      up: () => true,
      endpoints: () => ['198.51.100.20:51820'],
      log: { info: say, warn: say },
      times: quick,
      ...options,
    })
    await watching.start(new AbortController().signal)
    endings.push(() => watching.stop(AbortSignal.timeout(1000)))
    return { watching, logged }
  }

  /** A server whose n-th answer is 192.0.2.n, and a way to wait for a request. */
  async function counting(fails: (count: number) => boolean = () => false) {
    let count = 0
    const waiting = new Map<number, () => void>()
    const url = await serve((_, response) => {
      count += 1
      response.writeHead(fails(count) ? 500 : 200).end(`192.0.2.${count}\n`)
      waiting.get(count)?.()
    })
    const request = (number: number) =>
      count >= number ? Promise.resolve() : new Promise<void>((resolve) => waiting.set(number, resolve))
    return { url, request, count: () => count }
  }

  test('learns the address, and asks again and again', async () => {
    const { url, request } = await counting()
    const { watching } = await watch({ url })
    expect(watching.current()).toBeUndefined()
    await poll(() => watching.current()?.address).toMatch(/^192\.0\.2\.\d+$/)
    expect(Math.abs((watching.current()?.at ?? 0) - Date.now() / 1000)).toBeLessThan(60)
    await request(3)
  })

  test('asks again after a failure, and keeps what it knows', async () => {
    const { url, request } = await counting((count) => count !== 2)
    const { watching, logged } = await watch({ url })
    await request(5)
    expect(watching.current()?.address).toBe('192.0.2.2')
    expect(logged.slice(0, 2)).toEqual(['exit address not learnt', 'exit address learnt'])
    expect(logged.length).toBeLessThanOrEqual(3)
  })

  test('asks nothing while the tunnel is down, and forgets when it goes down', async () => {
    const { url, request, count } = await counting()
    let up = false
    let looks = 0
    const isUp = () => {
      looks += 1
      return up
    }
    const { watching } = await watch({ url, up: isUp, times: { ...quick, period: 100 } })
    expect(count()).toBe(0)
    up = true
    await poll(() => watching.current()?.address).toBe('192.0.2.1')
    up = false
    expect(watching.current()).toBeUndefined()
    const before = looks
    await poll(() => looks).toBeGreaterThan(before)
    up = true
    await request(2)
    await poll(() => watching.current()?.address).toBe('192.0.2.2')
  })

  test('another endpoint is another exit: forgotten at once, asked for anew', async () => {
    const { url } = await counting()
    let endpoint = '198.51.100.20:51820'
    const { watching } = await watch({ url, endpoints: () => [endpoint], times: { ...quick, period: 100 } })
    await poll(() => watching.current()?.address).toBe('192.0.2.1')
    endpoint = '198.51.100.21:51820'
    expect(watching.current()).toBeUndefined()
    await poll(() => watching.current()?.address).toBe('192.0.2.2')
  })

  test('an answer that came by the endpoint of before does not count', async () => {
    let endpoint = '198.51.100.20:51820'
    let answers = 0
    const url = await serve((_, response) => {
      answers += 1
      const address = `192.0.2.${answers}`
      endpoint = '198.51.100.21:51820'
      setTimeout(() => response.end(address), answers === 1 ? 200 : 0)
    })
    const { watching } = await watch({ url, endpoints: () => [endpoint], times: { ...quick, period: 100 } })
    await poll(() => watching.current()?.address).toBe('192.0.2.2')
    expect(answers).toBe(2)
  })

  test('without URL nothing is asked', async () => {
    const { watching } = await watch({})
    expect(watching.current()).toBeUndefined()
  })
})
