/** Leases against a server over real sockets; the whole of 127.0.0.0/8 is local, so that it shows who asked. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import type { LeaseWish } from '../src/lease-server.ts'
import { createLeases, type LeasesOptions } from '../src/leases.ts'

const server = '127.0.0.1'
const tunnelAddress = '127.0.0.2'
const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

/** One second is not enough where others use the processor too. */
const poll = <T>(read: () => T) => expect.poll(read, { timeout: 20_000 })

interface Asked {
  opcode: number
  internalPort: number
  externalPort: number
  lifetime: number
  from: string
  at: number
}

/** What a server answers, by the fields of the RFC; undefined says nothing. */
type Answer = { result?: number; internalPort?: number; externalPort?: number; lifetime?: number } | undefined

/** A server that remembers what it was asked, whose epoch runs, and that answers as it is told. */
async function serve(answer: (asked: Asked) => Answer) {
  const socket = createSocket('udp4').bind(0, server)
  await once(socket, 'listening')
  endings.push(() => socket.close())
  const asked: Asked[] = []
  const state = { epoch: 1000, address: [203, 0, 113, 7] }
  const begun = performance.now()
  socket.on('message', (bytes, { address, port }) => {
    const mapping = bytes.length === 12
    const one: Asked = {
      opcode: bytes.readUInt8(1),
      internalPort: mapping ? bytes.readUInt16BE(4) : 0,
      externalPort: mapping ? bytes.readUInt16BE(6) : 0,
      lifetime: mapping ? bytes.readUInt32BE(8) : 0,
      from: address,
      at: performance.now(),
    }
    asked.push(one)
    const said = answer(one)
    if (said === undefined) return
    const reply = Buffer.alloc(mapping ? 16 : 12)
    reply.writeUInt8(one.opcode + 128, 1)
    reply.writeUInt16BE(said.result ?? 0, 2)
    reply.writeUInt32BE(state.epoch + Math.floor((performance.now() - begun) / 1000), 4)
    if (mapping) {
      reply.writeUInt16BE(said.internalPort ?? one.internalPort, 8)
      reply.writeUInt16BE(said.externalPort ?? 0, 10)
      reply.writeUInt32BE(said.lifetime ?? one.lifetime, 12)
    } else reply.set(state.address, 8)
    socket.send(reply, port, address)
  })
  return { port: socket.address().port, asked, state, mappings: () => asked.filter(({ opcode }) => opcode !== 0) }
}

const wish = (changes: Partial<LeaseWish> = {}): LeaseWish => ({
  name: 'torrent',
  protocol: 'tcp',
  server,
  internalPort: 6881,
  lifetime: 60,
  ...changes,
})

/** Started leases on a tunnel that is up, unless said otherwise, and what they said. */
async function lease(options: Partial<LeasesOptions>) {
  const logged: string[] = []
  const results: string[] = []
  const say = (_: object, message: string) => void logged.push(message)
  const leases = createLeases({
    wishes: [wish()],
    held: () => undefined,
    localAddress: () => tunnelAddress,
    up: () => true,
    endpoints: () => ['198.51.100.20:51820'],
    onChange: () => undefined,
    onResult: ({ protocol }, result) => void results.push(`${protocol} ${result}`),
    log: { info: say, warn: say },
    ...options,
  })
  await leases.start(new AbortController().signal)
  endings.push(() => leases.stop(AbortSignal.timeout(1000)))
  return { leases, logged, results, ports: () => leases.current().map(({ externalPort }) => externalPort) }
}

describe('leases', { timeout: 40_000 }, () => {
  test("a port is asked for from the tunnel's address, and shown with its end and the exit's address", async () => {
    const { port, asked } = await serve(() => ({ externalPort: 40000 }))
    const { leases, results } = await lease({ port })
    await poll(() => leases.current()).toEqual([
      {
        ...wish(),
        externalPort: 40000,
        formerPorts: [],
        expiresAt: expect.toSatisfy((at: number) => Math.abs(at - Date.now() / 1000 - 60) < 30),
        externalAddress: '203.0.113.7',
      },
    ])
    expect(asked.map(({ opcode }) => opcode)).toEqual([2, 0])
    expect(asked[0]).toMatchObject({ from: tunnelAddress, internalPort: 6881, externalPort: 0, lifetime: 60 })
    expect(results).toEqual(['tcp renewed'])
  })

  test('the second protocol of a forward asks for the port of the first', async () => {
    const { port, mappings } = await serve((asked) => ({
      externalPort: asked.opcode === 2 ? 40000 : asked.externalPort,
    }))
    const { ports } = await lease({ port, wishes: [wish(), wish({ protocol: 'udp' })] })
    await poll(ports).toEqual([40000, 40000])
    expect(mappings().map(({ opcode, externalPort }) => [opcode, externalPort])).toEqual([
      [2, 0],
      [1, 40000],
    ])
  })

  test('renewed at half of what was granted, with the port that is held', async () => {
    const { port, mappings } = await serve(() => ({ externalPort: 40000, lifetime: 4 }))
    const { leases } = await lease({ port })
    await poll(() => mappings().length).toBeGreaterThanOrEqual(3)
    expect(mappings().map(({ externalPort }) => externalPort)).toEqual([0, 40000, 40000])
    const [first, second] = mappings()
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(1900)
    expect(leases.current()[0]).toMatchObject({ externalPort: 40000 })
  })

  test('another port at a renewal: both are there until the time of the first is over', async () => {
    let count = 0
    const { port } = await serve(({ opcode }) => ({ externalPort: opcode === 0 ? 0 : 40000 + count++, lifetime: 4 }))
    const { leases } = await lease({ port })
    await poll(() => leases.current()[0]?.externalPort).toBe(40001)
    expect(leases.current()[0]?.formerPorts).toEqual([40000])
  })

  test('silence: repeated with doubling pauses, told after 3.75 s, and over at the next answer', async () => {
    let silent = true
    const { port, mappings } = await serve(() => (silent ? undefined : { externalPort: 40000 }))
    const { leases, logged, results } = await lease({ port })
    await poll(() => leases.current()[0]?.problem).toBe(`no answer from ${server}`)
    expect(mappings().length).toBeGreaterThanOrEqual(4)
    const times = mappings().map(({ at }) => at)
    const pauses = times.slice(1, 4).map((at, index) => at - (times[index] ?? 0))
    for (const [index, least] of [250, 500, 1000].entries()) expect(pauses[index]).toBeGreaterThan(least * 0.95)
    expect(results.every((result) => result === 'tcp silence')).toBe(true)
    silent = false
    await poll(() => leases.current()[0]).toMatchObject({ externalPort: 40000 })
    expect(leases.current()[0]).not.toHaveProperty('problem')
    expect(logged.filter((line) => line === 'port not leased')).toHaveLength(1)
  })

  test('a refusal is said in words, and what is held stays until its time is over', async () => {
    let refuse = false
    const { port } = await serve(() => (refuse ? { result: 2 } : { externalPort: 40000, lifetime: 4 }))
    const { leases, results } = await lease({ port })
    await poll(() => leases.current()[0]?.externalPort).toBe(40000)
    refuse = true
    await poll(() => results.at(-1)).toBe('tcp refused')
    expect(leases.current()[0]).toMatchObject({
      externalPort: 40000,
      problem: 'the server refuses port mappings, to all or to this tunnel',
    })
    await poll(() => leases.current()[0]?.externalPort).toBeUndefined()
  })

  test('a server that starts its count anew is asked for everything again', async () => {
    const { port, asked, state } = await serve(({ opcode, internalPort }) => ({
      externalPort: 40000 + internalPort,
      // The first of the two is renewed soon, and its answer tells of the other one.
      lifetime: opcode !== 0 && internalPort === 1 ? 4 : 3600,
    }))
    const { logged, ports } = await lease({
      port,
      wishes: [wish({ internalPort: 1 }), wish({ name: 'other', internalPort: 2 })],
    })
    await poll(ports).toEqual([40001, 40002])
    const others = () => asked.filter(({ internalPort }) => internalPort === 2).length
    expect(others()).toBe(1)
    state.epoch = 0
    await poll(others).toBe(2)
    expect(logged.join('\n')).toContain('NAT-PMP server forgot its mappings')
  })

  test('nothing is asked while the tunnel is down; when it is back, another endpoint or address, everything is', async () => {
    let up = false
    let endpoint = '198.51.100.20:51820'
    let address = tunnelAddress
    const { port, mappings } = await serve(() => ({ externalPort: 40000, lifetime: 3600 }))
    let looks = 0
    const { leases } = await lease({
      port,
      up: () => {
        looks += 1
        return up
      },
      endpoints: () => [endpoint],
      localAddress: () => address,
    })
    await poll(() => looks).toBeGreaterThan(2)
    expect(mappings()).toHaveLength(0)
    up = true
    await poll(() => mappings().length).toBe(1)
    await poll(() => leases.current()[0]?.externalPort).toBe(40000)
    up = false
    const before = looks
    await poll(() => looks).toBeGreaterThan(before + 1)
    expect(leases.current()[0]?.externalPort).toBe(40000)
    up = true
    await poll(() => mappings().length).toBe(2)
    endpoint = '198.51.100.21:51820'
    await poll(() => mappings().length).toBe(3)
    address = '127.0.0.3'
    await poll(() => mappings().length).toBe(4)
    expect(mappings().at(-1)).toMatchObject({ from: '127.0.0.3', externalPort: 40000 })
  })

  test('at another exit the port of the one before is held no more, translated until its time is over, and asked for', async () => {
    let silent = false
    let [up, endpoint] = [true, 'a']
    const { port, mappings } = await serve(() => (silent ? undefined : { externalPort: 40000, lifetime: 3600 }))
    const { leases } = await lease({ port, up: () => up, endpoints: () => [endpoint] })
    await poll(() => leases.current()[0]?.externalAddress).toBe('203.0.113.7')
    silent = true
    // As a tunnel goes on to another file: down, and up with it.
    up = false
    await poll(() => leases.current()[0]?.externalPort).toBe(40000)
    endpoint = 'b'
    up = true
    await poll(() => leases.current()[0]?.externalPort).toBeUndefined()
    expect(leases.current()[0]).toMatchObject({ formerPorts: [40000] })
    expect(leases.current()[0]).not.toHaveProperty('externalAddress')
    silent = false
    await poll(() => leases.current()[0]?.externalPort).toBe(40000)
    expect(leases.current()[0]?.formerPorts).toEqual([])
    expect(mappings().at(-1)).toMatchObject({ externalPort: 40000 })
  })

  test('waiting for a silent server ends with the tunnel: the next one is asked at once', async () => {
    let answer: Answer
    let endpoint = 'a'
    const { port, mappings } = await serve(() => answer)
    const { leases } = await lease({ port, endpoints: () => [endpoint] })
    // The fifth is sent 3.75 s after the first, and the sixth 4 s after that.
    await poll(() => mappings().length).toBe(5)
    answer = { externalPort: 40000 }
    endpoint = 'b'
    await poll(() => leases.current()[0]?.externalPort).toBe(40000)
    const [fifth, sixth] = mappings().slice(4)
    expect((sixth?.at ?? 0) - (fifth?.at ?? 0)).toBeLessThan(4000)
  })

  test('what an earlier process held is there from the start, and asked for', async () => {
    const { port, mappings } = await serve(() => undefined)
    const expiresAt = Math.round(Date.now() / 1000) + 100
    const { leases } = await lease({ port, held: () => ({ externalPort: 40000, expiresAt }) })
    expect(leases.current()[0]).toMatchObject({ externalPort: 40000, expiresAt })
    await poll(() => mappings()[0]?.externalPort).toBe(40000)
  })

  test('no such address here: said, tried again later, and no harm', async () => {
    const { leases, results } = await lease({ port: 1, localAddress: () => '192.0.2.1' })
    await poll(() => leases.current()[0]?.problem).toBe(`asking ${server} from 192.0.2.1: EADDRNOTAVAIL`)
    expect(results).toEqual(['tcp no-socket'])
  })

  test('a server that picks the internal port itself may say that it is 0', async () => {
    const { port } = await serve(() => ({ internalPort: 0, externalPort: 40000 }))
    const { leases } = await lease({ port })
    await poll(() => leases.current()[0]?.externalPort).toBe(40000)
    expect(leases.current()[0]).toMatchObject({ internalPort: 6881 })
  })
})

test('a server whose epochs make no sense is not asked without a pause', { timeout: 40_000 }, async () => {
  const { port, state, asked } = await serve(() => {
    state.epoch -= 100
    return { externalPort: 40000 }
  })
  state.epoch = 1_000_000
  const { leases, logged } = await lease({ port })
  await poll(() => leases.current()[0]?.externalAddress).toBe('203.0.113.7')
  // The answer to the address made it ask once more for all; those answers would do so again.
  await poll(() => asked.length).toBeGreaterThanOrEqual(3)
  await poll(() => logged.filter((message) => message.includes('forgot')).length).toBe(1)
  expect(asked.length).toBeLessThan(10)
})
