import { describe, expect, test } from 'vitest'
import { priorityOf } from '../src/keepalived.ts'
import { readinessOf, stuckLoops, type ReadinessInput } from '../src/status.ts'
import { freshFor, worthOf } from '../src/worth.ts'
import { exampleRouter } from './router.ts'

const good: ReadinessInput = {
  reconcile: { converged: true, passes: 1, errors: [], pending: [], driftRepaired: 0 },
  daemons: [],
  vrrp: 'BACKUP',
  sync: { sender: true, receiver: true },
  liveGateways: 3,
}

describe('readiness', () => {
  test('a backup with all it needs is ready', () => {
    expect(readinessOf(good)).toEqual({ state: 'ready', reasons: [] })
  })

  test.each<[string, Partial<ReadinessInput>]>([
    ['no live gateway', { liveGateways: 0 }],
    ['VRRP: state not known yet', { vrrp: undefined }],
    ['VRRP: state FAULT', { vrrp: 'FAULT' }],
    ['steps back: another router is worth more', { vrrp: 'FAULT', yields: 'another router is worth more' }],
    ['IPVS sync: waiting for the flows that were there before', { untold: true }],
    ['flows that are not known yet would still be reset', { resets: true }],
    ['IPVS sync: the sender does not run', { sync: { sender: false, receiver: true } }],
    ['IPVS sync: the receiver does not run', { sync: { sender: true, receiver: false } }],
    ['conntrackd is crash-looping', { daemons: ['conntrackd is crash-looping'] }],
    [
      'route replace default: refused',
      { reconcile: { ...good.reconcile, converged: false, errors: ['route replace default: refused'] } },
    ],
  ])('%s', (reason, change) => {
    expect(readinessOf({ ...good, ...change })).toEqual({ state: 'unready', reasons: [reason] })
  })
})

describe('alive', () => {
  const turning = { now: 1000, lastPassAt: 990, lastIpvsReadAt: 999, lastLookAt: 999 }

  test('while every loop turns', () => {
    expect(stuckLoops(turning)).toEqual([])
    expect(stuckLoops({ ...turning, now: 1080 })).toEqual([])
  })

  test.each([
    ['no reconcile pass for 110 s', { lastPassAt: 890 }],
    ["no reading of IPVS' services for 110 s", { lastIpvsReadAt: 890 }],
    ['no look at the daemons for 110 s', { lastLookAt: 890 }],
  ])('not with %s', (reason, change) => {
    expect(stuckLoops({ ...turning, ...change })).toEqual([reason])
  })
})

describe('worth', () => {
  const priority = (address: string, input: Parameters<typeof worthOf>[0]) =>
    priorityOf(exampleRouter({ address })) + worthOf(input)
  const settled = { liveGateways: 3, sinceTakeover: undefined, standsBy: false, prepared: true, yields: false }

  test('among equals the lowest address wins', () => {
    expect(priority('192.168.50.241', settled)).toBeGreaterThan(priority('192.168.50.242', settled))
  })

  test('a cut that heals: who took over stays, whichever it is', () => {
    const tookOver = { ...settled, sinceTakeover: 1000 }
    expect(priority('192.168.50.242', tookOver)).toBeGreaterThan(priority('192.168.50.241', settled))
    expect(priority('192.168.50.241', tookOver)).toBeGreaterThan(priority('192.168.50.242', settled))
    // Also when its agent had no time yet to say that it is no longer a standby.
    expect(priority('192.168.50.247', { ...settled, standsBy: true })).toBeGreaterThan(
      priority('192.168.50.244', settled),
    )
    expect(worthOf({ ...settled, sinceTakeover: freshFor })).toBe(0)
  })

  test('of standbys, one that was not told all loses to every other; once it took over nobody outweighs it', () => {
    const standby = { ...settled, standsBy: true }
    const late = { ...standby, prepared: false }
    expect(priority('192.168.50.241', late)).toBeLessThan(priority('192.168.50.247', standby))
    expect(priority('192.168.50.241', late)).toBeLessThan(priority('192.168.50.247', settled))
    expect(priority('192.168.50.241', late)).toBeGreaterThan(
      priority('192.168.50.247', { ...standby, liveGateways: 0 }),
    )
    expect(worthOf({ ...late, standsBy: false, sinceTakeover: 0 })).toBe(worthOf(standby))
  })

  test('a router that sees no gateway loses to everybody', () => {
    const blind = { ...settled, liveGateways: 0, sinceTakeover: 1000 }
    expect(priority('192.168.50.241', blind)).toBeLessThan(priority('192.168.50.247', settled))
    expect(priority('192.168.50.247', blind)).toBeGreaterThan(0)
  })

  test('a router that steps back is put into FAULT, which is what -254 means to keepalived', () => {
    expect(worthOf({ ...settled, sinceTakeover: 1000, standsBy: true, yields: true })).toBe(-254)
  })

  test('priorities stay below 255, which is the address owner', () => {
    expect(priority('192.168.50.241', { ...settled, sinceTakeover: 0 })).toBeLessThan(255)
  })
})
