/** What a router reads beside the system file: its daemons' words, other agents' answers, the kernel's flows. */
import { parseIpvsConnection, parseNftCounters } from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { isIP } from 'node:net'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { damaged, jsonLike, textLike } from '../../../test/fuzz/src/inputs.ts'
import { mustBeLines, mustBeNumbers } from '../../../test/fuzz/src/must.ts'
import { parseBeats } from '../src/beats.ts'
import { entryOf } from '../src/conntrack-refill.ts'
import { parseConntrackdLine } from '../src/conntrackd-daemon.ts'
import { parseConntrackdStats } from '../src/conntrackd-stats.ts'
import { stuckReason } from '../src/conntrackd-watch.ts'
import { isBehind } from '../src/flow-lag.ts'
import { parseFlowsQuestion } from '../src/flows.ts'
import { parseState } from '../src/gateways.ts'
import { encodeFlows, isTellable } from '../src/ipvs-message.ts'
import { isWaiting } from '../src/ipvs-resync.ts'
import { judge } from '../src/judgement.ts'
import { parseKeepalivedData } from '../src/keepalived-data.ts'
import { causeInKeepalivedLine, isWithoutRawSocket, parseKeepalivedLine } from '../src/keepalived-log.ts'
import { countOrphans } from '../src/orphans.ts'
import { parseStanding, type Peer } from '../src/peers.ts'
import { parseServerLine } from '../src/stale-servers.ts'
import { isUntold } from '../src/status.ts'
import { parseSyncDaemons } from '../src/sync-daemon.ts'
import { parseVrrpLine } from '../src/vrrp.ts'
import { recorded } from './router.ts'

const own = {
  vrrp: 'MASTER',
  holdsVip: true,
  stateSeconds: 9,
  liveGateways: 2,
  flows: 12,
  fit: true,
  yields: false,
  address: '192.168.50.242',
} as const

const standing = JSON.stringify({
  instance: 'egress',
  routerAddress: '192.168.51.1',
  state: 'BACKUP',
  holdsVip: false,
  stateSeconds: 12.5,
  liveGateways: 3,
  fit: true,
  yields: null,
  told: { '192.168.50.242': 3 },
})

/** Characters of a line that a named pipe gives: longer ones are cut there. */
const longestLine = 4096

const flow = 'TCP C0A8320A 8F1C CB00710A 01BB C0A832F8 01BB ESTABLISHED     897'

export const classes: readonly FuzzClass[] = [
  fuzzClass({
    name: 'conntrackd -s',
    inputs: textLike([recorded('conntrackd-stats.txt')]),
    check(text) {
      const stats = parseConntrackdStats(text)
      stuckReason([1, 2, 3, 4].map((flowsBegun) => ({ stats, flowsBegun, busy: false })))
    },
  }),
  fuzzClass({
    name: "keepalived's data (JSON)",
    inputs: jsonLike([recorded('keepalived.json')]),
    check(text) {
      const data = parseKeepalivedData(text, 'egress')
      if (data === undefined) return
      const { stats, ...rest } = data
      mustBeNumbers([...Object.values(rest), ...Object.values(stats)])
    },
  }),
  fuzzClass({
    name: "lines of keepalived's log",
    inputs: textLike(recorded('keepalived.log').split('\n'), longestLine),
    check(line) {
      parseKeepalivedLine(line)
      causeInKeepalivedLine(line)
      isWithoutRawSocket(line)
    },
  }),
  fuzzClass({
    name: "lines of conntrackd's log",
    inputs: textLike(['[Mon Nov 23 00:02:56 2026] (pid=13569) [notice] initialization completed'], longestLine),
    check: parseConntrackdLine,
  }),
  fuzzClass({
    name: "lines of keepalived's pipes",
    inputs: textLike(['INSTANCE "egress" MASTER 250', 'RS [192.168.50.248]:none:0 FWM 1 UP'], longestLine),
    check(line) {
      parseVrrpLine(line)
      parseServerLine(line)
    },
  }),
  fuzzClass({
    name: "another router's /v1/vrrp",
    inputs: jsonLike([standing]),
    check(text) {
      const heard = parseStanding(text, 'gateway network', own.address)
      if (heard === undefined) return
      // It is asked there next.
      if (isIP(heard.routerAddress) !== 4) throw new Error('no address to ask')
      mustBeNumbers([heard.liveGateways, heard.flows ?? 0, heard.stateSeconds ?? 0, heard.toldSeconds ?? 0])
      const peer: Peer = { ...heard, address: '192.168.50.241', heardAt: 1000 }
      judge({ kind: 'serving' }, { own, peers: [peer], advertsArrive: true, now: 5000 })
      judge(
        { kind: 'yielding', reason: 'another router is worth more', since: 0 },
        { own, peers: [peer], advertsArrive: true, now: 5000 },
      )
      isUntold({ ...own, vrrp: 'BACKUP' }, [peer])
      isWaiting(peer, undefined, false)
      isBehind(peer, own, [{ at: 0, flows: heard.flows ?? 0 }])
    },
  }),
  fuzzClass({
    name: "a gateway's /readyz",
    inputs: jsonLike(['{"state":"draining","reasons":["told to end"]}']),
    check(text) {
      if (!['ready', 'draining', 'unready', 'silent'].includes(parseState(text))) throw new Error('no state')
    },
  }),
  fuzzClass({
    name: 'query of /v1/flows',
    inputs: fc.oneof(
      fc.record(
        {
          client: fc.oneof(fc.ipV4(), damaged(['192.168.50.10']), fc.array(fc.ipV4())),
          limit: fc.oneof(damaged(['1000']), fc.nat().map(String)),
        },
        { requiredKeys: [] },
      ),
      fc.anything(),
    ),
    check(query) {
      const question = parseFlowsQuestion(query)
      if (typeof question === 'string') mustBeLines([question])
      else if (isIP(question.client) !== 4 || !(question.limit >= 1 && question.limit <= 100_000))
        throw new Error('asks for too much')
    },
  }),
  fuzzClass({
    name: 'sync messages and conntrack entries of read flows',
    inputs: fc.array(damaged([flow, 'IP  C0A8320A 0000 00000001 0000 C0A832F8 0000 NONE        59']), {
      maxLength: 30,
    }),
    check(lines) {
      const read = lines.flatMap((line) => parseIpvsConnection(line) ?? [])
      for (const entry of read.flatMap((each) => entryOf(each) ?? [])) mustBeLines([entry.trimEnd()])
      const flows = read.filter(isTellable)
      encodeFlows(
        flows.map((each) => ({ ...each, fwmark: 1 })),
        51,
      )
    },
  }),
  fuzzClass({
    name: '/proc/net/udp and /proc/PID/status',
    inputs: textLike([
      recorded('udp'),
      'Name:\tkeepalived\nState:\tS (sleeping)\nPid:\t77\nvoluntary_ctxt_switches:\t1234\n',
    ]),
    check(text) {
      parseSyncDaemons(text)
      parseBeats(text)
    },
  }),
  fuzzClass({
    name: 'counters of orphans',
    inputs: textLike([recorded('orphans.nft'), recorded('orphans-sticky.nft')]),
    check: (text) => countOrphans(parseNftCounters(text)),
  }),
]
