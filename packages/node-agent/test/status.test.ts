import { networkLinks } from '@vpn-gateway/config'
import type { ReconcileStatus } from '@vpn-gateway/reconcile'
import { describe, expect, test } from 'vitest'
import { networkStatus, readinessOf } from '../src/status.ts'
import { link, systemWith, world } from './fixtures.ts'

const done: ReconcileStatus = { converged: true, passes: 1, errors: [], pending: [], driftRepaired: 0 }
const { underlay } = world()
const judge = (seen: typeof underlay, reconcile = done, problems: string[] = []) =>
  readinessOf(systemWith(), world({ underlay: seen }), reconcile, problems)

describe('ready', () => {
  test('when the kernel holds everything and the underlay fits', () => {
    expect(judge(underlay)).toEqual({ state: 'ready', reasons: [] })
  })

  test.each([
    ['errors of the last pass', underlay, { ...done, converged: false, errors: ['link x: left alone'] }, /left alone/],
    ['no errors, but not converged', underlay, { ...done, converged: false }, /does not hold/],
    ['an underlay that shrank', { ...underlay, mtu: 1400 }, done, /gatewayNetwork\.mtu.*at most 1350/],
    ['an underlay without carrier', { ...underlay, carrier: false }, done, /underlay eth0: no carrier/],
  ])('not with %s', (_name, seen, reconcile, reason) => {
    const { state, reasons } = judge(seen, reconcile)
    expect(state).toBe('unready')
    expect(reasons.join('\n')).toMatch(reason)
  })
})

test('not while something here will fail for want of a kernel module', () => {
  expect(judge(underlay, done, ['kernel module ip_vs: not loaded'])).toEqual({
    state: 'unready',
    reasons: ['kernel module ip_vs: not loaded'],
  })
})

test("a network's links, MTUs, ports and the nodes that were heard", () => {
  const system = systemWith()
  const [gateway] = networkLinks(system)
  if (gateway === undefined) throw new Error('no network')
  const links = [
    link('vpn-gateway', { kind: 'bridge', mtu: 1420, alias: 'vpn-gateway', mac: '02:00:00:00:00:01' }),
    link('vpn-gateway-x', { kind: 'vxlan', mtu: 1420, master: 'vpn-gateway' }),
    link('veth1', { kind: 'veth', mtu: 1420, master: 'vpn-gateway' }),
    link('veth2', { kind: 'veth', mtu: 1500, master: 'vpn-gateway' }),
    link('veth3', { kind: 'veth', mtu: 1500 }),
  ]
  const entry = (mac: string, dst: string, state: string) => ({ dev: 'vpn-gateway-x', mac, dst, state })
  const fdb = [
    entry('00:00:00:00:00:00', '172.30.0.2', 'permanent'),
    entry('02:00:00:00:00:07', '172.30.0.2', ''),
    entry('02:00:00:00:00:08', '172.30.0.2', ''),
    entry('02:00:00:00:00:09', '172.30.0.3', ''),
  ]
  const peers = { addresses: ['172.30.0.1', '172.30.0.2', '172.30.0.3'] }
  expect(networkStatus(gateway, { system, links, fdb, world: world({ peers }) })).toEqual({
    network: 'gateway',
    bridge: { name: 'vpn-gateway', state: 'up', mtu: 1420, mac: '02:00:00:00:00:01' },
    vxlan: { name: 'vpn-gateway-x', state: 'foreign', mtu: 1420, vni: 50, port: 4789 },
    mtu: { configured: 1420, best: 1420 },
    ports: 2,
    oversizedPorts: ['veth2'],
    peers: { configured: ['172.30.0.2', '172.30.0.3'], heard: { '172.30.0.2': 2, '172.30.0.3': 1 } },
  })
})
