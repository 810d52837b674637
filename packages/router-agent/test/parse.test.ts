/** Parsers against what the daemons and the kernel really wrote (keepalived 2.2.7, conntrackd 1.4.7, Linux 6.1). */
import { parseIpvs } from '@vpn-gateway/kernel'
import { describe, expect, test } from 'vitest'
import { parseConntrackdLine } from '../src/conntrackd-daemon.ts'
import { parseConntrackdStats } from '../src/conntrackd-stats.ts'
import { parseState } from '../src/gateways.ts'
import { clientService, liveServers } from '../src/ipvs.ts'
import { causeInKeepalivedLine, isWithoutRawSocket, parseKeepalivedLine } from '../src/keepalived-log.ts'
import { parseServerLine } from '../src/stale-servers.ts'
import { parseSyncDaemons } from '../src/sync-daemon.ts'
import { parseVrrpLine } from '../src/vrrp.ts'
import { recorded } from './router.ts'

describe('IPVS', () => {
  const service = clientService(parseIpvs(recorded('ip_vs')))

  test('the service of clients is the one with the mark', () => {
    expect(service).toMatchObject({ protocol: 'FWM', fwmark: 1, scheduler: 'wlc' })
    expect(clientService([])).toBeUndefined()
    expect(clientService(undefined)).toBeUndefined()
  })

  test('a draining gateway is in service and takes no new flows', () => {
    expect(service?.realServers.map(({ address, weight }) => [address, weight])).toEqual([
      ['192.168.50.248', 100],
      ['192.168.50.249', 0],
      ['192.168.50.250', 100],
    ])
    expect([...liveServers(service?.realServers ?? [])]).toEqual([
      ['192.168.50.248', 100],
      ['192.168.50.250', 100],
    ])
  })

  test('sync daemons show by their sockets', () => {
    const text = recorded('udp')
    expect(parseSyncDaemons(text)).toEqual({ sender: true, receiver: true })
    const without = (pattern: RegExp) =>
      parseSyncDaemons(
        text
          .split('\n')
          .filter((line) => !pattern.test(line))
          .join('\n'),
      )
    expect(without(/510000E0:2290 01/)).toEqual({ sender: false, receiver: true })
    expect(without(/510000E0:2290 0{8}:0{4}/)).toEqual({ sender: true, receiver: false })
    expect(parseSyncDaemons('')).toEqual({ sender: false, receiver: false })
  })
})

describe('VRRP', () => {
  test.each([
    ['INSTANCE "egress" MASTER 250', 'MASTER'],
    ['INSTANCE "egress" BACKUP 249', 'BACKUP'],
    ['INSTANCE "egress" FAULT 249', 'FAULT'],
    ['INSTANCE "egress" STOP 249', 'STOP'],
    ['INSTANCE "egress" MASTER_RX_LOWER_PRI 250', undefined],
    ['INSTANCE "other" MASTER 250', undefined],
    ['GROUP "egress" MASTER 0', undefined],
    ['', undefined],
  ])('%s', (line, state) => {
    expect(parseVrrpLine(line)).toBe(state)
  })
})

describe('gateways that keepalived found or lost', () => {
  test.each([
    ['RS [192.168.50.248]:none:0 FWM 1 UP', { address: '192.168.50.248', up: true }],
    ['RS [192.168.50.248]:none:0 FWM 1 DOWN', { address: '192.168.50.248', up: false }],
    ['VS FWM 1 DOWN', undefined],
    ['', undefined],
  ])('%s', (line, server) => {
    expect(parseServerLine(line)).toEqual(server)
  })
})

describe("keepalived's log", () => {
  const lines = recorded('keepalived.log').trimEnd().split('\n')

  test('every line has a level, and no line its own time', () => {
    const parsed = lines.map(parseKeepalivedLine)
    expect(parsed.every((line) => line !== undefined)).toBe(true)
    expect(parsed.filter((line) => /\d{4}: /.test(line?.message ?? ''))).toEqual([])
  })

  test('what somebody should look at is a warning', () => {
    expect(lines.map(parseKeepalivedLine).flatMap((line) => (line?.level === 'warn' ? [line.message] : []))).toEqual([
      '(egress) Receive advertisement timeout',
      '(egress) Received advert from 192.168.51.2 with lower priority 249, ours 250, forcing new election',
      'ICMP CHECK on service [192.168.50.248]:none:0 of FWM 1 failed after 1 retries.',
      'Removing service [192.168.50.248]:none:0 from VS FWM 1',
      '(egress) Master received advert from 192.168.51.1 with higher priority 250, ours 249',
      'Netlink reports net1 down',
      '(egress) Entering FAULT STATE',
      'Lost quorum 1-0=1 > 0 for VS FWM 1',
      'pid 271 exited due to signal 9 (Killed) - has rlimit_rttime been exceeded?',
      'Healthcheck child process(271) died: Respawning',
    ])
  })

  test.each([
    ['(egress) Receive advertisement timeout', 'peer-silent'],
    ['(egress) Backup received priority 0 advertisement', 'peer-left'],
    ['(egress) Master received advert from 192.168.51.1 with higher priority 250, ours 249', 'peer-preferred'],
    ['Netlink reports net1 down', 'link'],
    ['(egress) Entering FAULT STATE', 'link'],
    ['(egress) Entering MASTER STATE', undefined],
  ])('%s', (line, cause) => {
    expect(causeInKeepalivedLine(line)).toBe(cause)
  })
})

describe('conntrackd', () => {
  test('statistics', () => {
    expect(parseConntrackdStats(recorded('conntrackd-stats.txt'))).toEqual({
      cached: 303,
      cache: {
        created: { total: 1200, failed: 0 },
        updated: { total: 3144, failed: 0 },
        destroyed: { total: 897, failed: 0 },
      },
      injected: {
        created: { total: 49, failed: 0 },
        updated: { total: 13, failed: 0 },
        destroyed: { total: 3, failed: 0 },
      },
      sentBytes: 289860,
      receivedBytes: 8596,
      sentPackets: 1285,
      receivedPackets: 177,
      sendErrors: 0,
      receiveErrors: 0,
      malformedMessages: 0,
      lostMessages: 50,
    })
  })

  test.each([
    ['[Mon Nov 23 00:02:56 2026] (pid=13569) [notice] initialization completed', 'info', 'initialization completed'],
    [
      '[Mon Nov 23 00:02:56 2026] (pid=1) [warning] net2 is an invalid interface',
      'warn',
      'net2 is an invalid interface',
    ],
    ["[Mon Nov 23 00:02:35 2026] (pid=1) [ERROR] can't open channel socket", 'error', "can't open channel socket"],
    ['something else', 'info', 'something else'],
  ])('%s', (line, level, message) => {
    expect(parseConntrackdLine(line)).toEqual({ level, message })
  })
})

describe('what a gateway says', () => {
  test.each([
    ['{"state":"draining","reasons":["draining: no new flows"]}', 'draining'],
    ['{"state":"ready","reasons":[]}', 'ready'],
    ['{"state":"unready","reasons":["tunnel down"]}', 'unready'],
    ['{"state":"asleep"}', 'silent'],
    ['null', 'silent'],
    ['<html>', 'silent'],
    ['', 'silent'],
  ])('%s', (text, state) => {
    expect(parseState(text)).toBe(state)
  })
})

test('a keepalived that may not open raw sockets is noticed', () => {
  // As 2.3.3 says it without CAP_NET_RAW, and goes on.
  expect(isWithoutRawSocket('Mon Nov 23 00:04:20 2026: cant open raw socket. errno=1')).toBe(true)
  expect(isWithoutRawSocket('Mon Nov 23 00:04:20 2026: cant open raw socket. errno=105')).toBe(false)
  expect(isWithoutRawSocket('Mon Nov 23 00:04:20 2026: (egress) Entering BACKUP STATE (init)')).toBe(false)
})
