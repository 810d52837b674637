import { describe, expect, test } from 'vitest'
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
  test('ends when no flow is left', async () => {
    const counts = [2, 0]
    const drain = createDrain({ flowsInUse: () => Promise.resolve(counts.shift() ?? 0), log: silent })
    expect(drain.active()).toBe(false)
    const done = drain.untilIdle(new AbortController().signal)
    expect(drain.active()).toBe(true)
    await done
    expect(counts).toEqual([])
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
    await drain.untilIdle(new AbortController().signal)
    drain.request(false)
    expect(drain.active()).toBe(true)
  })
})
