import type { IpvsConnection } from '@vpn-gateway/kernel'
import { expect, test } from 'vitest'
import { wordsFor } from '../src/conntrackd-daemon.ts'
import { entryOf } from '../src/conntrack-refill.ts'

const flow: IpvsConnection = {
  protocol: 'TCP',
  client: '192.168.50.1',
  clientPort: 40000,
  destination: '203.0.113.10',
  destinationPort: 9000,
  realServer: '192.168.50.248',
  realServerPort: 9000,
  state: 'ESTABLISHED',
  expires: 899,
}

test('a flow of IPVS is an entry of connection tracking', () => {
  expect(entryOf(flow)).toBe(
    '-A -p tcp --state ESTABLISHED -s 192.168.50.1 -d 203.0.113.10 --sport 40000 --dport 9000 -t 899 -u SEEN_REPLY,ASSURED\n',
  )
  expect(entryOf({ ...flow, protocol: 'UDP', state: 'UDP', expires: 0 })).toBe(
    '-A -p udp -s 192.168.50.1 -d 203.0.113.10 --sport 40000 --dport 9000 -t 1 -u SEEN_REPLY,ASSURED\n',
  )
})

test.each<[string, Partial<IpvsConnection>]>([
  ['begins', { state: 'SYN_RECV' }],
  ['ends', { state: 'FIN_WAIT' }],
  ['is a template', { protocol: 'IP', state: 'NONE' }],
  ['is IPv6', { client: 'fd00::1' }],
])('one that %s is none', (_what, change) => {
  expect(entryOf({ ...flow, ...change })).toBeUndefined()
})

test('only an active router has a cache that the others follow', () => {
  expect(wordsFor('MASTER').flat()).not.toContain('-f')
  for (const state of ['BACKUP', 'FAULT', 'STOP'] as const) expect(wordsFor(state)[0]).toEqual(['-f', 'internal'])
})
