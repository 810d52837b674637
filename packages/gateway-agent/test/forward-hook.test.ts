/** The hook, called over real sockets. */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createForwardHook, type ForwardHookOptions } from '../src/forward-hook.ts'

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

/** One second is not enough where others use the processor too. */
const poll = <T>(read: () => T) => expect.poll(read, { timeout: 20_000 })

type Response = Parameters<RequestListener>[1]

/** A server that is there until the end of the test, and what it was sent. */
async function serve(answer: (count: number, body: string) => (response: Response) => void) {
  const bodies: string[] = []
  const seen: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      bodies.push(body)
      seen.push(
        `${request.method} ${request.headers.host?.split(':')[0]} ${request.url} ${request.headers['content-type']}`,
      )
      answer(bodies.length, body)(response)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  endings.push(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/ports?a=1`, port, bodies, seen }
}

const status =
  (code: number, headers = {}) =>
  (response: Response) =>
    void response.writeHead(code, headers).end()

const quick = { settle: 0.01, call: 5, retry: [0.01, 0.05] as const, giveUp: 30 }

async function hook(url: string | undefined, options: Partial<ForwardHookOptions> = {}) {
  const results: string[] = []
  const logged: string[] = []
  const say = (fields: object, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`)
  const state = { body: 'one', about: '1' }
  const made = createForwardHook({
    url,
    message: () => ({ ...state }),
    allowed: () => true,
    opened: () => Promise.resolve(),
    onResult: (result) => void results.push(result),
    log: { info: say, warn: say },
    times: quick,
    ...options,
  })
  await made.start(new AbortController().signal)
  endings.push(() => made.stop(AbortSignal.timeout(1000)))
  return { hook: made, results, logged, state }
}

describe('the hook', { timeout: 30_000 }, () => {
  test('is sent the message by POST, once for each change of what it is about', async () => {
    const { url, port, bodies, seen } = await serve(() => status(204))
    const { hook: made, results, state } = await hook(url)
    await poll(() => results).toEqual(['delivered'])
    expect(seen).toEqual(['POST 127.0.0.1 /ports?a=1 application/json'])
    expect(made.address()).toEqual({ address: '127.0.0.1', port })
    state.body = 'one, renewed'
    made.update()
    state.about = '2'
    state.body = 'two'
    made.update()
    await poll(() => results).toEqual(['delivered', 'delivered'])
    expect(bodies).toEqual(['one', 'two'])
  })

  test('is called by the name in the URL, at the address that was let out', async () => {
    const { port, seen } = await serve(() => status(200))
    const { hook: made, results } = await hook(`http://localhost:${port}/`)
    await poll(() => results).toEqual(['delivered'])
    expect(seen[0]).toMatch(/^POST localhost \/ /)
    expect(made.address()).toEqual({ address: '127.0.0.1', port })
  })

  test.each<[string, ReturnType<typeof status>, RegExp]>([
    ['a refusal', status(503), /"reason":"status 503, expected 200 to 299"/],
    ['a redirect, which is not followed', status(307, { location: '/elsewhere' }), /"reason":"status 307/],
    ['a connection that is dropped', (response) => void response.destroy(), /"reason":"ECONNRESET"/],
  ])('%s: called again, with the message as it is then', async (_name, answer, reason) => {
    const { url, bodies, seen } = await serve((_count, body) => (body === 'one, renewed' ? status(200) : answer))
    const { results, logged, state } = await hook(url)
    await poll(() => results.length).toBeGreaterThan(2)
    expect(results.every((result) => result === 'failed')).toBe(true)
    expect(logged.filter((line) => line.startsWith('hook not called'))).toEqual([expect.stringMatching(reason)])
    state.body = 'one, renewed'
    await poll(() => results.at(-1)).toBe('delivered')
    expect(bodies.at(-1)).toBe('one, renewed')
    expect(seen.every((line) => line.startsWith('POST 127.0.0.1 /ports?a=1'))).toBe(true)
  })

  test('a newer message goes before one that is being tried, which is given up at once', async () => {
    let dropped = false
    const hold = (response: Response) => void response.on('close', () => (dropped = true))
    const { url, bodies } = await serve((count) => (count === 1 ? hold : status(200)))
    const { hook: made, results, state } = await hook(url, { times: { ...quick, call: 60 } })
    await poll(() => bodies).toEqual(['one'])
    state.about = '2'
    state.body = 'two'
    made.update()
    await poll(() => results).toEqual(['delivered'])
    await poll(() => dropped).toBe(true)
    expect(bodies).toEqual(['one', 'two'])
  })

  test('what is again as it was delivered when the call is due is not told', async () => {
    const { url, bodies } = await serve(() => status(204))
    const state = { body: 'one', about: '1' }
    let looks = 0
    const message = () => {
      looks += 1
      return { ...state }
    }
    const { hook: made, results } = await hook(url, { message })
    await poll(() => results).toEqual(['delivered'])
    state.about = 'lost'
    made.update()
    state.about = '1'
    const before = looks
    made.update()
    // Once by that, and once when the call is due.
    await poll(() => looks).toBe(before + 2)
    Object.assign(state, { body: 'two', about: '2' })
    made.update()
    await poll(() => results).toEqual(['delivered', 'delivered'])
    expect(bodies).toEqual(['one', 'two'])
  })

  test('silence is bounded, and so is trying; the next change is a new beginning', async () => {
    let answer: (response: Response) => void = () => undefined
    const { url, bodies } = await serve(() => (response) => answer(response))
    const { hook: made, results, logged, state } = await hook(url, { times: { ...quick, call: 0.1, giveUp: 0.5 } })
    await poll(() => results.at(-1)).toBe('given-up')
    expect(logged[0]).toContain('no answer within 0.1 s')
    const tries = bodies.length
    expect(tries).toBeGreaterThan(1)
    made.update()
    answer = status(200)
    state.about = '2'
    made.update()
    await poll(() => results.at(-1)).toBe('delivered')
    expect(bodies).toHaveLength(tries + 1)
  })

  test('waits for the filter, and for nothing on the gateway network', async () => {
    const { url, bodies } = await serve(() => status(200))
    let open: (() => void) | undefined
    const { results } = await hook(url, { opened: () => new Promise<void>((resolve) => (open = resolve)) })
    await poll(() => open).toBeDefined()
    expect(bodies).toEqual([])
    open?.()
    await poll(() => results).toEqual(['delivered'])
    const shut = await hook(url, { allowed: () => false })
    await poll(() => shut.results).toContain('failed')
    expect(shut.logged[0]).toContain('127.0.0.1 is on the gateway network')
    expect(bodies).toHaveLength(1)
  })

  test('without URL nothing is called, and no address is let out', async () => {
    const { hook: made, results } = await hook(undefined)
    expect(made.address()).toBeUndefined()
    expect(results).toEqual([])
  })
})
