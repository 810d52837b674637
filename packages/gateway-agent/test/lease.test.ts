import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { answerTimeout, doubted, failed, granted, lapsed, lostState, newLease, type Lease } from '../src/lease.ts'

describe('a lease', () => {
  test('is due at once, renewed at half of its time, and gone at the end of it', () => {
    const fresh = newLease(100)
    expect(fresh).toMatchObject({ dueAt: 100, lastPort: 0 })
    const held = granted(fresh, { externalPort: 40000, lifetime: 60 }, 101)
    expect(held).toMatchObject({ mapping: { externalPort: 40000, expiresAt: 161 }, dueAt: 131, lastPort: 40000 })
    expect(lapsed(held, 160.9)).toBe(held)
    const over = lapsed(held, 161)
    expect(over).not.toHaveProperty('mapping')
    expect(over.lastPort).toBe(40000)
  })

  test('another port: the one of before stays until its own time is over', () => {
    const first = granted(newLease(0), { externalPort: 40000, lifetime: 60 }, 0)
    const second = granted(first, { externalPort: 40001, lifetime: 60 }, 30)
    expect(second.mapping?.externalPort).toBe(40001)
    expect(second.former).toEqual([{ externalPort: 40000, expiresAt: 60 }])
    expect(lapsed(second, 60)).toMatchObject({ mapping: { externalPort: 40001 }, former: [] })
  })

  test('the port of before comes back: it is held, and no former one', () => {
    const first = granted(newLease(0), { externalPort: 40000, lifetime: 60 }, 0)
    const second = granted(first, { externalPort: 40001, lifetime: 60 }, 30)
    const third = granted(second, { externalPort: 40000, lifetime: 60 }, 31)
    expect(third.mapping).toEqual({ externalPort: 40000, expiresAt: 91 })
    expect(third.former.map(({ externalPort }) => externalPort)).toEqual([40001])
  })

  test('of the ports of before only the latest eight are kept, whatever a server does', () => {
    let lease = newLease(0)
    for (let port = 1; port <= 100; port += 1)
      lease = granted(lease, { externalPort: port, lifetime: 4294967295 }, port)
    expect(lease.former.map(({ externalPort }) => externalPort)).toEqual([92, 93, 94, 95, 96, 97, 98, 99])
  })

  test('a refusal is tried again after 5 s, doubling up to a minute, and keeps what is held', () => {
    let lease: Lease = granted(newLease(0), { externalPort: 40000, lifetime: 600 }, 0)
    const waits = Array.from({ length: 6 }, (_, index) => {
      lease = failed(lease, 'no', 1000 * index)
      return lease.dueAt - 1000 * index
    })
    expect(waits).toEqual([5, 10, 20, 40, 60, 60])
    expect(lease).toMatchObject({ mapping: { externalPort: 40000 }, problem: 'no' })
    expect(granted(lease, { externalPort: 40000, lifetime: 60 }, 7000)).not.toHaveProperty('problem')
    expect(failed(doubted(lease, 8000), 'no', 8000).dueAt).toBe(8005)
  })

  test('what an earlier process held is held, and asked for at once', () => {
    expect(newLease(10, { externalPort: 40000, expiresAt: 30 })).toMatchObject({
      mapping: { externalPort: 40000, expiresAt: 30 },
      lastPort: 40000,
      dueAt: 10,
    })
  })

  test('whatever happens: what is held is not over, former ports are others, and it is asked for before it ends', () => {
    const event = fc.record({
      after: fc.double({ min: 0.01, max: 100, noNaN: true }),
      kind: fc.constantFrom('grant', 'fail', 'doubt', 'look'),
      port: fc.integer({ min: 1, max: 5 }),
      lifetime: fc.integer({ min: 1, max: 120 }),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let now = 0
        let lease = newLease(now)
        for (const { after, kind, port, lifetime } of events) {
          now += after
          if (kind === 'grant') lease = granted(lease, { externalPort: port, lifetime }, now)
          if (kind === 'fail') lease = failed(lease, 'no', now)
          if (kind === 'doubt') lease = doubted(lease, now)
          lease = lapsed(lease, now)
          const { mapping, former } = lease
          for (const { expiresAt } of [...former, ...(mapping === undefined ? [] : [mapping])]) {
            expect(expiresAt).toBeGreaterThan(now)
          }
          const ports = former.map(({ externalPort }) => externalPort)
          expect(new Set(ports).size).toBe(ports.length)
          expect(ports).not.toContain(mapping?.externalPort)
          expect(kind === 'grant' ? lease.dueAt : now).toBeLessThanOrEqual(mapping?.expiresAt ?? now)
        }
      }),
    )
  })
})

test('a server lost its mappings when its clock fell behind seven eighths of ours by more than two seconds', () => {
  const before = { seconds: 1000, at: 0 }
  expect(lostState(undefined, before)).toBe(false)
  expect(lostState(before, { seconds: 1080, at: 80 })).toBe(false)
  expect(lostState(before, { seconds: 1068, at: 80 })).toBe(false)
  expect(lostState(before, { seconds: 1067, at: 80 })).toBe(true)
  expect(lostState(before, { seconds: 3, at: 80 })).toBe(true)
  expect(lostState(before, { seconds: 1000, at: 0.2 })).toBe(false)
})

test('a request is repeated after 250 ms, each time after double that, and at most 64 s', () => {
  expect(Array.from({ length: 11 }, (_, times) => answerTimeout(times))).toEqual([
    250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 64_000, 64_000,
  ])
})
