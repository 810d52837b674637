import { describe, expect, test } from 'vitest'
import { priorityOf } from '../src/keepalived.ts'
import { readinessOf, type ReadinessInput } from '../src/status.ts'
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

describe('worth', () => {
  const priority = (address: string, input: Parameters<typeof worthOf>[0]) =>
    priorityOf(exampleRouter({ address })) + worthOf(input)
  const settled = { liveGateways: 3, sinceTakeover: undefined }

  test('among equals the lowest address wins', () => {
    expect(priority('192.168.50.241', settled)).toBeGreaterThan(priority('192.168.50.242', settled))
  })

  test('a cut that heals: who took over stays, whichever it is', () => {
    const tookOver = { liveGateways: 3, sinceTakeover: 1000 }
    expect(priority('192.168.50.242', tookOver)).toBeGreaterThan(priority('192.168.50.241', settled))
    expect(priority('192.168.50.241', tookOver)).toBeGreaterThan(priority('192.168.50.242', settled))
    expect(worthOf({ liveGateways: 3, sinceTakeover: freshFor })).toBe(0)
  })

  test('a router that sees no gateway loses to everybody', () => {
    const blind = { liveGateways: 0, sinceTakeover: 1000 }
    expect(priority('192.168.50.241', blind)).toBeLessThan(priority('192.168.50.247', settled))
    expect(priority('192.168.50.247', blind)).toBeGreaterThan(0)
  })

  test('priorities stay below 255, which is the address owner', () => {
    expect(priority('192.168.50.241', { liveGateways: 3, sinceTakeover: 0 })).toBeLessThan(255)
  })
})
