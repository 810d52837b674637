/** The system file, damaged: a valid system or a `UserError` whose problems are one line each. */
import {
  addressPlan,
  networkAttachments,
  networkLinks,
  parseProbeTarget,
  parseSystem,
  UserError,
} from '@vpn-gateway/config'
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { repeated, textLike } from '../../../test/fuzz/src/inputs.ts'
import { mustBeLines } from '../../../test/fuzz/src/must.ts'

const published = readFileSync(new URL('../../../deploy/vpn-gateway.yaml', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => !/^\s*#/.test(line))
  .join('\n')

/** All sections, in few bytes. */
const whole = `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork: { subnet: 192.168.50.0/24, clients: 192.168.50.1-192.168.50.239, vip: 192.168.50.240, routers: 192.168.50.241-192.168.50.247, gateways: 192.168.50.248-192.168.50.254, mtu: 1420, bridge: vpn-gateway, vxlan: { vni: 50 } }
routerNetwork: { subnet: 192.168.51.0/24, mtu: 1450, bridge: vpn-router, vxlan: { vni: 51 } }
underlay: { device: default-route, mtu: 1500, peers: { addresses: [172.30.0.1, "fd00::1"] } }
tunnel: { probe: { targets: ["1.1.1.1:443", "icmp:9.9.9.9", "http://1.0.0.1:80/x"], window: 3 }, exitAddressUrl: "https://exit.example" }
gateway: { weights: { 192.168.50.248: 50 }, drainSeconds: 1, forwardsHook: "http://hook.example/a" }
router: { stickiness: [{ clients: 192.168.50.1-192.168.50.9, by: client, seconds: 9 }], healthCheck: { interval: 0.4 } }
forwards:
  - { name: web, protocol: both, port: 443, to: { address: 10.0.0.9 } }
  - { name: seed, lease: { protocol: nat-pmp, gateway: 10.2.0.1 }, to: { address: 10.0.0.8, port: 51413 } }
`

/** Characters; longer files are refused as they are. */
const longest = 256 * 1024

/** A file with a list as long as can be, of whatever the system has lists of. */
function manyItems(choice: number): string {
  const octets = (index: number) => `${(index >> 16) & 127}.${(index >> 8) & 255}.${index & 255}`
  const lists: readonly [RegExp, (index: number) => string][] = [
    [/intranet: \[(.*)\]/, (index) => `10.${octets(index).slice(2)}.0/${choice % 2 === 0 ? 24 : 8}`],
    [/addresses: \[(.*)\]/, (index) => `172.${octets(index)}`],
    [/targets: \[(.*)\]/, (index) => `"1.${octets(index)}:443"`],
    [/weights: \{(.*?)\}/, (index) => `192.${octets(index)}: 5`],
    [/stickiness: \[(.*)\]/, (index) => `{ clients: 192.${octets(index)}-192.${octets(index + 1)} }`],
    [
      /forwards:\n([^]*)/,
      (index) => `  - { name: f${index}, port: ${1 + (index % 65535)}, to: { address: 10.${octets(index)} } }\n`,
    ],
  ]
  const [at, item] = lists[choice % lists.length] ?? [/$/, String]
  const separator = item(0).endsWith('\n') ? '' : ', '
  let items = ''
  for (let index = 0; whole.length + items.length < longest - 100; index += 1) items += `${item(index)}${separator}`
  return whole.replace(at, (found, inner: string) => found.replace(inner, () => items))
}

/** A valid system of which all can be derived, or a `UserError`. */
function valid(text: string): void {
  try {
    const system = parseSystem(text, 'system.yaml')
    addressPlan(system)
    networkLinks(system)
    networkAttachments(system)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    mustBeLines(error.problems)
  }
}

export const classes: readonly FuzzClass[] = [
  fuzzClass({
    name: 'system file',
    // The parser of YAML takes a hundredth of a millisecond for each of thousands of nodes.
    most: 500,
    inputs: textLike([whole, whole, published], 16 * 1024),
    check: valid,
  }),
  fuzzClass({
    name: 'system file of any size',
    // Linear: sixteen times as much as the class above has. What is quadratic takes a minute.
    most: 4000,
    every: 200,
    inputs: fc.oneof(
      { weight: 3, arbitrary: repeated([whole, published], longest) },
      { weight: 1, arbitrary: fc.nat().map(manyItems) },
    ),
    check: valid,
  }),
  fuzzClass({
    name: 'probe target',
    inputs: textLike(['1.1.1.1:443', 'icmp:9.9.9.9', 'http://1.0.0.1:80/generate_204?x#y', 'http://1.0.0.1']),
    check(text) {
      const target = parseProbeTarget(text)
      // Throws for what is no URL.
      const host = target?.kind === 'http' ? new URL(target.url).hostname : target?.address
      if (host !== undefined && !isIPv4(host)) throw new Error(`${host} is no address`)
    },
  }),
]
