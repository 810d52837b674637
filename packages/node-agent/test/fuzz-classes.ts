/** What a node agent reads beside the system file: who its peers are, and what the node's programs print. */
import { UserError } from '@vpn-gateway/config'
import { OutputError } from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { isIP } from 'node:net'
import { Readable } from 'node:stream'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { bytesLike, damaged, jsonLike, textLike } from '../../../test/fuzz/src/inputs.ts'
import { mustBeLines } from '../../../test/fuzz/src/must.ts'
import { droppingChains, foreignAddresses, managersOf, parseFeatures, rpfilterRules } from '../src/facts.ts'
import { ApiError } from '../src/kubernetes-api.ts'
import { readList, readWatchEvent } from '../src/kubernetes-object.ts'
import { internalAddress } from '../src/kubernetes-peers.ts'
import { readEvents } from '../src/list-watch.ts'
import { answered, membersOf, remembered } from '../src/membership.ts'
import { apiServer } from '../src/options.ts'
import { isUnicast } from '../src/peer-source.ts'
import { chooseUnderlay } from '../src/underlay.ts'
import { link, systemWith } from './fixtures.ts'

const node = {
  metadata: { name: 'node-1', resourceVersion: '17' },
  status: {
    addresses: [
      { type: 'Hostname', address: 'node-1' },
      { type: 'InternalIP', address: '172.30.0.1' },
    ],
  },
}
const list = JSON.stringify({ kind: 'NodeList', metadata: { resourceVersion: '17', continue: 'x' }, items: [node] })
const event = JSON.stringify({ type: 'MODIFIED', object: node })
const gone = JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old' } })

/** An address of a node, or none; an error has one line. */
function addressOrReason(read: () => readonly unknown[]): void {
  try {
    for (const each of read()) {
      const address = internalAddress(each, 4)
      if (address !== undefined && isIP(address) !== 4) throw new TypeError('no address')
    }
  } catch (error) {
    if (!(error instanceof Error) || error.constructor !== Error) throw error
    mustBeLines([error.message])
  }
}

/** Lets the expected errors pass when they have one line a problem. */
function understood(parse: () => unknown): void {
  try {
    parse()
  } catch (error) {
    if (!(error instanceof OutputError || error instanceof UserError)) throw error
    mustBeLines(error.message.split('\n'))
  }
}

const system = systemWith()

const addresses = JSON.stringify([
  { ifname: 'vpn-gateway', addr_info: [{ family: 'inet', local: '169.254.7.9', prefixlen: 16, scope: 'link' }] },
])
const chains = JSON.stringify({
  nftables: [
    { metainfo: { version: '1.0.6' } },
    { chain: { family: 'inet', table: 'firewalld', name: 'filter_FORWARD', hook: 'forward', policy: 'drop' } },
  ],
})

/** Three events; names of nodes have ASCII only, other members have whatever people write. */
const stream = `${event}\n${JSON.stringify({ type: 'ADDED', object: { ...node, note: 'Knoten \u{1F600} ü' } })}\r\n\n${event}\n`

/** The bytes in up to nine parts, cut anywhere. */
function parts(whole: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer[]> {
  return fc.tuple(whole, fc.array(fc.nat(1000), { maxLength: 8 })).map(([bytes, cuts]) => {
    const at = [0, ...cuts.map((each) => each % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
    return at.slice(1).map((to, index) => bytes.subarray(at[index], to))
  })
}

export const classes: readonly FuzzClass[] = [
  fuzzClass({
    name: 'list of the Kubernetes API (JSON)',
    inputs: jsonLike([list]),
    check: (text) =>
      addressOrReason(() => {
        let answer: unknown
        try {
          answer = JSON.parse(text)
        } catch {
          return []
        }
        return readList(answer).items.map(({ value }) => value)
      }),
  }),
  fuzzClass({
    name: 'events of the Kubernetes API (JSON)',
    inputs: jsonLike([event, gone]),
    check: (line) =>
      addressOrReason(() => {
        const { object } = readWatchEvent(line)
        mustBeLines([new ApiError('/api/v1/nodes', object.code, object.message).message])
        return [object.value]
      }),
  }),
  fuzzClass({
    name: 'watch of the Kubernetes API (bytes)',
    inputs: fc.oneof(
      // As it is, in whatever parts.
      { weight: 5, arbitrary: parts(fc.constant(Buffer.from(stream))).map((all) => ({ all, events: 3 })) },
      { weight: 5, arbitrary: parts(bytesLike([Buffer.from(stream)])).map((all) => ({ all })) },
      { weight: 2, arbitrary: parts(jsonLike([event, gone]).map((text) => Buffer.from(text))).map((all) => ({ all })) },
      { weight: 1, arbitrary: parts(textLike([stream]).map((text) => Buffer.from(text))).map((all) => ({ all })) },
    ),
    async check({ all, events }: { all: Buffer[]; events?: number }) {
      const names: string[] = []
      const failure = await readEvents(Readable.from(all, { objectMode: false }), ({ object }) =>
        names.push(object.name),
      ).catch((error: Error) => error)
      if (failure !== undefined) mustBeLines([failure.message])
      if (events === undefined) return
      if (failure !== undefined || names.join() !== Array(events).fill(node.metadata.name).join())
        throw new Error(`hears of ${names.join()}`)
    },
  }),
  fuzzClass({
    name: "networkd's and NetworkManager's files",
    inputs: fc.tuple(
      textLike(['# private\nADMIN_STATE=configured\nOPER_STATE=routable\n', 'ADMIN_STATE=unmanaged\n']),
      textLike(['[device]\nmanaged=1\nroute-metric-default-ip4=100\n', 'managed=unknown\n']),
    ),
    check: ([networkd, manager]) => void managersOf(networkd, manager),
  }),
  fuzzClass({
    name: "answers of the peers' name",
    inputs: fc.array(fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), { maxLength: 60 }), { maxLength: 8 }),
    check(all) {
      let membership = remembered(['172.30.0.1'], 0)
      for (const [at, answer] of all.entries()) membership = answered(membership, answer, at * 100_000)
      for (const address of membersOf(membership)) isUnicast(address, 4)
    },
  }),
  fuzzClass({
    name: 'where the API server is',
    inputs: fc.tuple(
      fc.constantFrom('', 'http://127.0.0.1:80'),
      damaged(['10.96.0.1', 'fd00::1']),
      fc.option(damaged(['443']), { nil: undefined }),
    ),
    check: ([option, host, port]) =>
      understood(() => {
        const url = apiServer(option, { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port })
        if (url !== undefined) void new URL('/api/v1/nodes', url)
      }),
  }),
  fuzzClass({
    name: 'underlay.device on a node',
    inputs: damaged(['default-route', 'eth0', '172.30.0.0/16', 'fd00::/8']),
    check(device) {
      const view = {
        links: [link('eth0')],
        addresses: [{ dev: 'eth0', address: '172.30.0.1/16', family: 4 as const }],
        routes: [],
      }
      understood(() => chooseUnderlay({ ...system, underlay: { ...system.underlay, device } }, view, new Set(), []))
    },
  }),
  fuzzClass({
    name: 'ip address and nft list chains (JSON)',
    inputs: jsonLike([addresses, chains]),
    check(text) {
      understood(() => foreignAddresses(text, ['vpn-gateway']))
      understood(() => droppingChains(text))
    },
  }),
  fuzzClass({
    name: 'ethtool and iptables-save',
    inputs: textLike([
      'Features for eth0:\nrx-checksumming: on\n\ttx-udp_tnl-segmentation: off [fixed]\n',
      '*filter\n-A INPUT -m rpfilter --invert -j DROP\n',
    ]),
    check(text) {
      parseFeatures(text)
      rpfilterRules(text)
    },
  }),
]
