/** What the kernel and its tools say, damaged: understood, or an `OutputError` of one line. */
import {
  CommandError,
  OutputError,
  parseAddresses,
  parseConntrackStats,
  parseFdb,
  parseIptablesSave,
  parseIpvs,
  parseIpvsConnection,
  parseIpvsStats,
  parseLinks,
  parseModuleList,
  parseNetwork,
  parseNftBody,
  parseNftCounters,
  parseRoutes,
  parseRuleCounters,
  parseRules,
  parseWireguardDump,
} from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { jsonLike, textLike } from '../../../test/fuzz/src/inputs.ts'
import { mustBeLines } from '../../../test/fuzz/src/must.ts'
import { redact } from '../src/command.ts'
import { tellsOfChange } from '../src/monitor.ts'
import { hasCapability, isBuiltIn } from '../src/requirement.ts'

const recorded = (name: string) => readFileSync(new URL(`recorded/${name}`, import.meta.url), 'utf8')

/** Lets `OutputError` pass, which whoever runs a tool expects. */
function understood(parse: () => unknown): void {
  try {
    parse()
  } catch (error) {
    if (!(error instanceof OutputError)) throw error
    mustBeLines([error.message])
  }
}

/** What an object's own names are must come from the text, never from what objects inherit. */
function mustBeTables(text: string): void {
  for (const { policies, chains } of parseIptablesSave(text, 4)) {
    for (const policy of Object.values(policies)) if (typeof policy !== 'string') throw new Error('no policy')
    for (const rules of Object.values(chains)) if (!Array.isArray(rules)) throw new Error('no list of rules')
  }
}

const link = recorded('link.json')
const address = recorded('address.json')
const route = recorded('route4.json')
const rule = recorded('rule4.json')

export const classes: readonly FuzzClass[] = [
  fuzzClass({ name: 'ip link (JSON)', inputs: jsonLike([link]), check: (text) => understood(() => parseLinks(text)) }),
  fuzzClass({
    name: 'ip address (JSON)',
    inputs: jsonLike([address]),
    check: (text) => understood(() => parseAddresses(text)),
  }),
  fuzzClass({
    name: 'ip route (JSON)',
    inputs: jsonLike([route, recorded('route6.json')]),
    check: (text) => understood(() => parseRoutes(text, 4)),
  }),
  fuzzClass({
    name: 'ip rule (JSON)',
    inputs: jsonLike([rule]),
    check: (text) => understood(() => parseRules(text, 4)),
  }),
  fuzzClass({
    name: 'bridge fdb (JSON)',
    inputs: jsonLike([recorded('fdb.json')]),
    check: (text) => understood(() => parseFdb(text, 'vpn-gateway-x')),
  }),
  fuzzClass({
    name: 'ip -batch (JSON)',
    inputs: textLike([[address, rule, '[{}]'].map((text) => text.trim()).join('\n')]),
    check: (text) => understood(() => parseNetwork(text, 4)),
  }),
  fuzzClass({
    name: 'iptables-save',
    inputs: textLike([recorded('filter.save'), recorded('nat-empty.save'), recorded('filter-counters.save')]),
    check(text) {
      mustBeTables(text)
      parseRuleCounters(text)
    },
  }),
  fuzzClass({
    name: 'nft list table',
    inputs: textLike([recorded('nft.table')]),
    check(text) {
      parseNftBody(text)
      parseNftCounters(text)
    },
  }),
  fuzzClass({
    name: 'wg show dump',
    inputs: textLike([recorded('wg.dump')]),
    check: (text) => parseWireguardDump(text, 'wg0'),
  }),
  fuzzClass({
    name: 'standard error of a tool',
    inputs: textLike([
      "Unable to parse key: `AAAAAAAAAAAAAAAAAAAAAAAA='\nConfiguration parsing error\n",
      'File exists\n',
    ]),
    check(stderr) {
      const error = new CommandError({ argv: ['wg', 'syncconf'], exitCode: 1, stderr: redact(stderr), kind: 'failed' })
      mustBeLines([error.message])
    },
  }),
  fuzzClass({
    name: '/proc/net/ip_vs',
    inputs: textLike([recorded('ip_vs'), recorded('ip_vs_stats')]),
    check(text) {
      parseIpvs(text)
      parseIpvsStats(text)
    },
  }),
  fuzzClass({
    name: '/proc/net/ip_vs_conn',
    inputs: textLike(recorded('ip_vs_conn').split('\n')),
    check: parseIpvsConnection,
  }),
  fuzzClass({
    name: '/proc/net/stat/nf_conntrack',
    inputs: textLike([recorded('nf_conntrack_stat')]),
    check: parseConntrackStats,
  }),
  fuzzClass({
    name: '/lib/modules',
    inputs: textLike([
      'kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko.xz\nkernel/drivers/net/vxlan/vxlan.ko.zst:\n',
      'kernel/fs/ext4/ext4.ko\n',
    ]),
    check: parseModuleList,
  }),
  fuzzClass({
    name: '/proc/self/status and /proc/kallsyms',
    inputs: fc.tuple(
      textLike(['Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t00000000a80435fb\n']),
      textLike(['0000000000000000 T nf_conntrack_in\t[nf_conntrack]\n0000000000000000 t ip_vs_sh_schedule\n']),
    ),
    check([status, symbols]) {
      hasCapability(status, 12)
      isBuiltIn(symbols, 'ip_vs_sh')
    },
  }),
  fuzzClass({
    name: 'lines of ip monitor and nft monitor',
    inputs: textLike([
      '2: eth0    inet 172.30.0.1/16 brd 172.30.255.255 scope global eth0\\       valid_lft 60sec preferred_lft 60sec',
      'Deleted 10.0.0.0/8 via 192.168.50.240 dev net1',
      '# new generation 17 by process 4711 (nft)',
    ]),
    check: tellsOfChange,
  }),
]
