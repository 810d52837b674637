/** What a gateway reads beside the system file: the tunnel's file, what its provider says, what programs print. */
import { UserError } from '@vpn-gateway/config'
import fc from 'fast-check'
import { isIP } from 'node:net'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { bytesLike, jsonLike, textLike } from '../../../test/fuzz/src/inputs.ts'
import { mustBeLines, mustBeNumbers } from '../../../test/fuzz/src/must.ts'
import { parseFlowCount } from '../src/drain.ts'
import { choose, joinEndpoint } from '../src/endpoint.ts'
import { addressIn } from '../src/exit-request.ts'
import { leasesIn } from '../src/forward-record.ts'
import { doubted, failed, granted, lapsed, lostState, newLease, type Epoch } from '../src/lease.ts'
import type { LeaseWish } from '../src/lease-server.ts'
import { answers } from '../src/natpmp-socket.ts'
import { decodeResponse, explainResult, type NatPmpRequest } from '../src/natpmp.ts'
import { parsePing } from '../src/probe.ts'
import { parseTunnelFile } from '../src/tunnel-file.ts'
import { wireguardGoLine } from '../src/wireguard-go.ts'
import { parseNameServers } from '../src/world.ts'
import { sampleFiles } from './damaged-file.ts'

const { whole, damaged } = sampleFiles(60, 7)

const wish: LeaseWish = { name: 'seed', protocol: 'tcp', server: '10.2.0.1', internalPort: 51413, lifetime: 60 }
const forwards = JSON.stringify({
  gateway: 'gateway-0',
  forwards: [
    {
      name: 'seed',
      protocol: 'tcp',
      to: { address: '10.0.0.8', port: 51413 },
      port: 40000,
      lease: {
        protocol: 'nat-pmp',
        server: '10.2.0.1',
        internalPort: 51413,
        expiresAt: 4e9,
        externalAddress: '198.51.100.7',
      },
    },
  ],
})

const requests: readonly NatPmpRequest[] = [
  { kind: 'address' },
  { kind: 'mapping', protocol: 'tcp', internalPort: 51413, externalPort: 0, lifetime: 60 },
  { kind: 'mapping', protocol: 'udp', internalPort: 0, externalPort: 40000, lifetime: 60 },
]

/** An answer of 12 or 16 bytes (RFC 6886, sections 3.2 and 3.3). */
const datagrams = [
  '0080000000000e10c6336407',
  '0082000000000e10c8d59c400000003c',
  '0081000000000e1000009c40ffffffff',
  '0082000200000000',
].map((bytes) => Buffer.from(bytes, 'hex'))

const flows = `tcp      6 431999 ESTABLISHED src=192.168.50.9 dst=203.0.113.10 sport=1 dport=80 src=203.0.113.10 dst=10.9.0.2 sport=80 dport=1 [ASSURED] mark=2 use=1
`

export const classes: readonly FuzzClass[] = [
  fuzzClass({
    name: 'wg-quick file',
    inputs: textLike([...whole, ...damaged]),
    check(text) {
      try {
        for (const { endpoint } of parseTunnelFile(text, 'wg.conf').peers) {
          if (endpoint !== undefined) mustBeNumbers([endpoint.port])
        }
      } catch (error) {
        if (!(error instanceof UserError)) throw error
        mustBeLines(error.problems)
      }
    },
  }),
  fuzzClass({
    name: 'NAT-PMP datagrams',
    inputs: fc.array(bytesLike(datagrams), { minLength: 1, maxLength: 40 }),
    check(all) {
      let lease = newLease(0)
      let epoch: Epoch | undefined
      for (const [now, bytes] of all.entries()) {
        const response = decodeResponse(bytes)
        if (response === undefined || !requests.some((request) => answers(response, request))) continue
        const heard = { seconds: response.epoch, at: now }
        if (lostState(epoch, heard)) lease = doubted(lease, now)
        epoch = heard
        if (response.kind === 'failure') lease = failed(lease, explainResult(response.result).text, now)
        if (response.kind === 'address' && isIP(response.address) !== 4) throw new Error('no address')
        if (response.kind === 'mapping') lease = granted(lease, response, now)
        lease = lapsed(lease, now)
        mustBeNumbers([lease.dueAt, lease.wait, lease.lastPort])
        if (lease.former.length > 8) throw new Error('former ports without end')
      }
    },
  }),
  fuzzClass({
    name: 'forwards file',
    inputs: jsonLike([forwards]),
    check(text) {
      const held = leasesIn(text)(wish)
      if (held !== undefined) mustBeNumbers([held.externalPort, held.expiresAt])
    },
  }),
  fuzzClass({
    name: 'answer to the exit address',
    inputs: textLike(['198.51.100.7\n', '198.51.100.7\r\nmore\n'], 1024),
    check(text) {
      try {
        addressIn(text)
      } catch (error) {
        mustBeLines([(error as Error).message])
      }
    },
  }),
  fuzzClass({
    name: 'answer of a resolver',
    inputs: fc.tuple(
      fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), { maxLength: 300 }),
      fc.option(fc.ipV4(), { nil: undefined }),
    ),
    check([found, held]) {
      const chosen = choose(found, held)
      if (chosen !== undefined) joinEndpoint(chosen, 51820)
      if (found.length > 0 && chosen === undefined) throw new Error('an answer and nothing chosen')
    },
  }),
  fuzzClass({
    name: 'ping',
    inputs: textLike([
      '--- 9.9.9.9 ping statistics ---\n1 packets transmitted\nrtt min/avg/max/mdev = 9.512/9.512/9.512/0.000 ms\n',
    ]),
    check(text) {
      const latency = parsePing(text)
      if (latency !== undefined) mustBeNumbers([latency])
    },
  }),
  fuzzClass({
    name: 'conntrack -L',
    inputs: textLike([flows]),
    check: (text) => mustBeNumbers([parseFlowCount(text, (address) => address.startsWith('192.168.50.'))]),
  }),
  fuzzClass({
    name: "lines of wireguard-go's log",
    inputs: textLike(['DEBUG: (wg0) 2026/11/23 00:02:56 UAPI listener started', 'ERROR: (wg0) no tun'], 4096),
    check: wireguardGoLine,
  }),
  fuzzClass({
    name: '/etc/resolv.conf',
    inputs: textLike(['search a.example\nnameserver 10.96.0.10\nnameserver fe80::A%eth0\noptions ndots:5\n']),
    check(text) {
      for (const address of parseNameServers(text))
        if (isIP(address) === 0 || /[%A-Z]/.test(address)) throw new Error(`no address for a rule: ${address}`)
    },
  }),
]
