import type { IpvsConnection } from '@vpn-gateway/kernel'
import { createLog } from '@vpn-gateway/runtime'
import { describe, expect, test } from 'vitest'
import { markOfClient } from '../src/flow-services.ts'
import { encodeFlows, entriesOf, flowsPerMessage, isTellable, type MarkedFlow } from '../src/ipvs-message.ts'
import { createIpvsResync, isWaiting } from '../src/ipvs-resync.ts'
import type { Peer, Standing } from '../src/peers.ts'
import { isUntold } from '../src/status.ts'
import { exampleRouter } from './router.ts'

const flow: MarkedFlow = {
  protocol: 'TCP',
  client: '192.168.50.1',
  clientPort: 40000,
  destination: '203.0.113.10',
  destinationPort: 9000,
  realServer: '192.168.50.248',
  realServerPort: 9000,
  state: 'ESTABLISHED',
  expires: 899,
  fwmark: 1,
}

describe('a message of the sync protocol', () => {
  test('byte by byte, as ip_vs_sync.c declares it', () => {
    expect(encodeFlows([flow], 51).toString('hex')).toBe(
      [
        '00',
        '33',
        '002c',
        '01',
        '01',
        '0000', // reserved, sync id, size, connections, version, spare
        '00',
        '06',
        '0024', // type, protocol, version and size
        '00000003',
        '0001', // direct routing, ESTABLISHED
        '9c40',
        '2328',
        '2328', // ports of client, destination, gateway
        '00000001',
        '00000383', // mark, seconds
        'c0a83201',
        'cb00710a',
        'c0a832f8',
      ].join(''),
    )
  })

  test('a flow that is not established does not count as active', () => {
    const flags = (change: Partial<MarkedFlow>) => encodeFlows([{ ...flow, ...change }], 51).readUInt32BE(12)
    expect([flags({}), flags({ state: 'FIN_WAIT' })]).toEqual([0x0003, 0x0103])
    // As in the kernel's own messages.
    expect(flags({ protocol: 'UDP', state: 'UDP' })).toBe(0x0103)
  })

  test('a UDP flow is told twice, first as one that replaces what the receiver has', () => {
    const udp = { ...flow, protocol: 'UDP', state: 'UDP' }
    const flags = entriesOf(udp).map((entry) => encodeFlows([entry], 51).readUInt32BE(12))
    expect(flags).toEqual([0x0003, 0x0103])
    expect(entriesOf(flow)).toEqual([flow])
  })

  test('is as long as the receiver takes, and no longer', () => {
    const length = (count: number) =>
      encodeFlows(
        Array.from({ length: count }, () => flow),
        1,
      ).length
    expect(length(flowsPerMessage)).toBeLessThanOrEqual(200)
    expect(length(flowsPerMessage + 1)).toBeGreaterThan(200)
  })

  test('a template says so, with the mark for a destination', () => {
    const template = { ...flow, protocol: 'IP', state: 'NONE', clientPort: 0, destination: '0.1.1.3', fwmark: 0x10100 }
    const message = encodeFlows([template], 51)
    expect(message.readUInt8(9)).toBe(0)
    expect(message.readUInt32BE(12)).toBe(0x1003)
    expect(message.subarray(36, 40)).toEqual(Buffer.from([0, 1, 1, 3]))
  })

  test('a sticky client is told with a mark of its service', () => {
    const router = exampleRouter({}, (system) => ({
      ...system,
      router: {
        ...system.router,
        stickiness: [{ clients: '192.168.50.5 - 192.168.50.9', by: 'client-and-destination', seconds: 60 }],
      },
    }))
    expect(['192.168.50.4', '192.168.50.5', '192.168.50.9', '192.168.50.10'].map(markOfClient(router))).toEqual([
      1, 0x10000, 0x10000, 1,
    ])
  })

  test.each<[boolean, Partial<IpvsConnection>]>([
    [true, {}],
    [true, { protocol: 'UDP', state: 'UDP' }],
    [true, { protocol: 'IP', state: 'NONE', clientPort: 0 }],
    [false, { state: 'TIME_WAIT' }],
    [false, { state: 'NONE', clientPort: 0 }],
    [false, { client: 'fd00::1' }],
    [false, { protocol: 'SCTP' }],
  ])('%s for %j', (told, change) => {
    expect(isTellable({ ...flow, ...change })).toBe(told)
  })
})

const standing: Standing = {
  vrrp: 'BACKUP',
  holdsVip: false,
  stateSeconds: 10,
  liveGateways: 3,
  flows: 12,
  fit: true,
  yields: false,
}
const standby: Peer = {
  ...standing,
  address: '192.168.50.242',
  routerAddress: '192.168.51.2',
  heardOn: 'gateway network',
  heardAt: 100_000,
}

test.each<[string, boolean, Partial<Peer>, Parameters<typeof isWaiting>[1]]>([
  ['a standby that was never told', true, {}, undefined],
  ['one that was told since it stands by', false, {}, { at: 95_000, liveGateways: 3 }],
  ['one that was active in between', true, { stateSeconds: 1 }, { at: 95_000, liveGateways: 3 }],
  ['one that sees more gateways than then', true, {}, { at: 95_000, liveGateways: 2 }],
  ['one that lost a gateway a moment ago', false, {}, { at: 90_000, liveGateways: 3, lostAt: 96_000 }],
  ['one that lost a gateway whose flows have moved since', true, {}, { at: 90_000, liveGateways: 3, lostAt: 94_000 }],
  ['one that sees no gateway, which would forget them again', false, { liveGateways: 0 }, undefined],
  ['an active router', false, { vrrp: 'MASTER' }, undefined],
])('%s has to be told: %s', (_what, waiting, peer, told) => {
  expect(isWaiting({ ...standby, ...peer }, told, false)).toBe(waiting)
})

test('a standby that lacks flows is told again, when what it was told must have arrived', () => {
  expect(isWaiting(standby, { at: 96_000, liveGateways: 3 }, true)).toBe(false)
  expect(isWaiting(standby, { at: 94_000, liveGateways: 3 }, true)).toBe(true)
})

/** How often the standby was told after each look, at which it had been heard that many seconds after the first one. */
async function toldAfter(looks: readonly { liveGateways: number; seconds: number }[]): Promise<number[]> {
  let told = 0
  const resync = createIpvsResync({
    router: exampleRouter({ syncAddress: '127.0.0.1' }),
    log: createLog({ agent: 'router-agent', name: 'router-0' }, 'silent'),
    isLacking: () => false,
    // Nothing is sent, but it is told that it was.
    async *read() {
      told += 1
      yield* []
    },
  })
  const counts: number[] = []
  const began = performance.now()
  for (const { liveGateways, seconds } of looks) {
    const peer = { ...standby, stateSeconds: 60 + seconds, liveGateways, heardAt: began + seconds * 1000 }
    resync.look(true, [peer])
    await new Promise(setImmediate)
    counts.push(told)
  }
  await resync.stop(AbortSignal.abort())
  return counts
}

test('a standby that loses a gateway and finds it again is told once more', async () => {
  const looks = [3, 3, 2, 2, 3, 3].map((liveGateways, seconds) => ({ liveGateways, seconds }))
  expect(await toldAfter(looks)).toEqual([1, 1, 1, 1, 2, 2])
  // What is still moving then is told later.
  const later = [...looks, { liveGateways: 3, seconds: 8 }, { liveGateways: 3, seconds: 20 }]
  expect(await toldAfter(later)).toEqual([1, 1, 1, 1, 2, 2, 3, 3])
})

test('a standby that lost a gateway is told once the flows have moved, and not again', async () => {
  const looks = [0, 6, 7, 10, 13, 26].map((seconds) => ({ liveGateways: seconds < 7 ? 3 : 2, seconds }))
  expect(await toldAfter(looks)).toEqual([1, 2, 2, 2, 3, 3])
})

const active: Peer = { ...standby, vrrp: 'MASTER', holdsVip: true }

test.each<[string, boolean, Partial<Standing>, Peer[]]>([
  ['an active router has told nothing', true, {}, [active]],
  ['it did before this one stood by', true, {}, [{ ...active, toldSeconds: 11 }]],
  ['it did since', false, {}, [{ ...active, toldSeconds: 9 }]],
  ['the active one has not been heard yet', true, {}, [standby]],
  ['it does not answer for long', false, { stateSeconds: 21 }, [standby]],
  ['this one is active', false, { vrrp: 'MASTER' }, [active]],
])('a standby waits for flows when %s: %s', (_what, untold, own, peers) => {
  expect(isUntold({ ...standing, ...own }, peers)).toBe(untold)
})
