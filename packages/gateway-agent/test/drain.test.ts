import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createDrain, parseFlowCount } from '../src/drain.ts'

/** As conntrack 1.4.7 prints it. */
const listed = `tcp      6 431997 ESTABLISHED src=192.168.50.10 dst=203.0.113.10 sport=40402 dport=80 src=203.0.113.10 dst=10.9.0.2 sport=80 dport=40402 [ASSURED] mark=0 use=1
tcp      6 431998 ESTABLISHED src=10.9.0.1 dst=10.9.0.2 sport=50100 dport=45678 src=10.96.0.100 dst=10.42.0.5 sport=8080 dport=50100 [ASSURED] mark=2 use=1
tcp      6 431999 ESTABLISHED src=10.42.0.1 dst=10.42.0.5 sport=36000 dport=9801 src=10.42.0.5 dst=10.42.0.1 sport=9801 dport=36000 [ASSURED] mark=0 use=1
`
const isClient = (address: string) => address.startsWith('192.168.50.')
const silent = { info() {}, warn() {} }

describe('flows', () => {
  test("clients' and inbound ones count, the agent's own do not", () => {
    expect(parseFlowCount(listed, isClient)).toBe(2)
  })
  test('nothing is none', () => {
    expect(parseFlowCount('', isClient)).toBe(0)
  })
})

describe('drain', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  /** Drains a gateway with so many flows, one count after the other, and none then; resolves with the seconds it took. */
  async function drained(counts: number[], drain = draining(counts)): Promise<number> {
    const began = performance.now()
    const done = drain.untilIdle(new AbortController().signal)
    expect(drain.active()).toBe(true)
    await Promise.all([done, vi.runAllTimersAsync()])
    expect(counts).toEqual([])
    return (performance.now() - began) / 1000
  }
  const draining = (counts: number[]) =>
    createDrain({ flowsInUse: () => Promise.resolve(counts.shift() ?? 0), log: silent })

  test('ends when no flow is left', async () => {
    expect(draining([]).active()).toBe(false)
    expect(await drained([2, 2, 2, 2, 2, 2, 2, 0])).toBe(7)
  })

  test('without any flow, not before routers that ask every two seconds have heard of it', async () => {
    expect(await drained([0, 1, 0])).toBe(4)
  })

  test('after a request that they have heard of, at once', async () => {
    const drain = draining([])
    drain.request(true)
    await vi.advanceTimersByTimeAsync(4000)
    expect(await drained([], drain)).toBe(0)
  })

  test('ends at the deadline, also when flows cannot be counted', async () => {
    const deadline = new AbortController()
    const drain = createDrain({ flowsInUse: () => Promise.reject(new Error('no conntrack')), log: silent })
    const done = drain.untilIdle(deadline.signal)
    deadline.abort()
    await expect(done).resolves.toBeUndefined()
  })

  test('is taken back at wish, but not while the process is terminating', async () => {
    const drain = createDrain({ flowsInUse: () => Promise.resolve(0), log: silent })
    drain.request(true)
    expect(drain.active()).toBe(true)
    drain.request(false)
    expect(drain.active()).toBe(false)
    await drained([], drain)
    drain.request(false)
    expect(drain.active()).toBe(true)
  })
})
