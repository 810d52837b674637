/** What more than one field is needed to judge. Pure; finds everything at once. */
import { overlapCidr } from 'cidr-tools'
import { isIP } from 'node:net'
import {
  address4,
  cidrBounds,
  cidrContains,
  addressesOf,
  parseRange,
  rangeContains,
  rangeSize,
  rangesOverlap,
  type Range,
} from './address.ts'
import { networkLinks, vxlanOverhead } from './network-link.ts'
import type { Forward, System } from './schema.ts'
import { tunnelPort } from './tunnel-port.ts'

/** A problem of the system file: which field, and what was expected. */
export interface Problem {
  /** Dotted, with array indices in brackets: `forwards[1].port`. */
  path: string
  message: string
}

/** More routers would only make the state they share more expensive: one is active at a time. */
const mostRouters = 7
const mostGateways = 250

/** What no pod can have on a network of its own, and what stands in the way; the first also holds gateways' health addresses. */
const reservedNetworks = [
  ['169.254.0.0/16', 'link-local addresses'],
  ['127.0.0.0/8', 'loopback'],
  ['224.0.0.0/3', 'multicast and reserved addresses'],
  ['0.0.0.0/8', 'addresses of this host alone'],
] as const

/** Every contradiction between fields of a system that has the right shape. */
export function checkSystem(system: System): Problem[] {
  return [
    ...checkGatewayNetwork(system),
    ...checkNetworks(system),
    ...checkLinkNames(system),
    ...checkPeers(system),
    ...checkMtu(system),
    ...checkForwards(system),
    ...checkGateways(system),
    ...checkHook(system),
    ...checkStickiness(system),
    ...checkProbe(system),
  ]
}

/** A tunnel is down by time alone: it would be between any two probes. */
function checkProbe({ tunnel }: System): Problem[] {
  const { interval, window } = tunnel.probe
  if (window > interval) return []
  const message = `${window} s is not more than tunnel.probe.interval ${interval} s: the tunnel would be down between two probes`
  return [{ path: 'tunnel.probe.window', message }]
}

function checkGatewayNetwork({ gatewayNetwork, routerNetwork }: System): Problem[] {
  const { subnet, vip } = gatewayNetwork
  const path = (field: string) => `gatewayNetwork.${field}`
  const problems: Problem[] = []
  const named: [string, Range][] = [
    ['clients', parseRange(gatewayNetwork.clients)],
    ['vip', { first: vip, last: vip }],
    ['routers', parseRange(gatewayNetwork.routers)],
    ['gateways', parseRange(gatewayNetwork.gateways)],
  ]
  const bounds = cidrBounds(subnet)
  named.forEach(([field, range], index) => {
    const text = field === 'vip' ? vip : `${range.first}-${range.last}`
    if (!cidrContains(subnet, range.first) || !cidrContains(subnet, range.last)) {
      problems.push({ path: path(field), message: `${text} is outside gatewayNetwork.subnet ${subnet}` })
    } else if (rangeContains(range, bounds.first) || rangeContains(range, bounds.last)) {
      problems.push({
        path: path(field),
        message: `${text} holds the network or broadcast address of gatewayNetwork.subnet ${subnet}`,
      })
    }
    for (const [other, otherRange] of named.slice(0, index)) {
      if (rangesOverlap(range, otherRange)) {
        problems.push({
          path: path(field),
          message: `${text} overlaps gatewayNetwork.${other} ${textOf(other, otherRange)}`,
        })
      }
    }
  })
  const routers = rangeSize(parseRange(gatewayNetwork.routers))
  if (routerNetwork !== undefined && (routers < 2 || routers > mostRouters)) {
    problems.push({ path: path('routers'), message: `has ${routers} addresses: expected 2 to ${mostRouters}` })
  }
  const gateways = rangeSize(parseRange(gatewayNetwork.gateways))
  if (gateways > mostGateways) {
    problems.push({ path: path('gateways'), message: `has ${gateways} addresses: expected at most ${mostGateways}` })
  }
  if (routerNetwork === undefined && gateways > 1) {
    // The gateway gets any free address of the range, which after a restart need not be the one it had.
    problems.push({
      path: path('gateways'),
      message: `has ${gateways} addresses and there is no routerNetwork: expected one, since clients are routed to the first only`,
    })
  }
  return problems
}

function textOf(field: string, range: Range): string {
  return field === 'vip' ? range.first : `${range.first}-${range.last}`
}

function checkNetworks({ gatewayNetwork, routerNetwork, intranet }: System): Problem[] {
  const problems: Problem[] = []
  const networks: [string, string][] = [['gatewayNetwork.subnet', gatewayNetwork.subnet]]
  if (routerNetwork !== undefined) networks.push(['routerNetwork.subnet', routerNetwork.subnet])
  networks.forEach(([path, subnet], index) => {
    const reserved = reservedNetworks.find(([cidr]) => overlapCidr(subnet, cidr))
    if (reserved !== undefined) {
      problems.push({ path, message: `${subnet} overlaps ${reserved[0]}, ${reserved[1]}: expected another network` })
    }
    for (const [other, otherSubnet] of networks.slice(0, index)) {
      if (overlapCidr(subnet, otherSubnet)) {
        problems.push({ path, message: `${subnet} overlaps ${other} ${otherSubnet}` })
      }
    }
    intranet.forEach((cidr, at) => {
      if (overlapCidr(subnet, cidr)) {
        problems.push({
          path,
          message: `${subnet} overlaps intranet[${at}] ${cidr}, which pods reach by the cluster's own network`,
        })
      }
    })
  })
  if (routerNetwork !== undefined) {
    const hosts = rangeSize(cidrBounds(routerNetwork.subnet)) - 2
    const routers = rangeSize(parseRange(gatewayNetwork.routers))
    if (hosts < routers) {
      problems.push({
        path: 'routerNetwork.subnet',
        message: `${routerNetwork.subnet} has ${Math.max(hosts, 0)} host addresses: expected at least ${routers}, one for each of gatewayNetwork.routers`,
      })
    }
    if (routerNetwork.vxlan.vni === gatewayNetwork.vxlan.vni) {
      problems.push({
        path: 'routerNetwork.vxlan.vni',
        message: `${routerNetwork.vxlan.vni} is gatewayNetwork.vxlan.vni too: expected another number`,
      })
    }
  }
  return problems
}

/** Addresses that the configuration names, each of the underlay's IP version. */
function checkPeers({ underlay: { peers, ipFamily } }: System): Problem[] {
  if ('multicast' in peers) {
    const groups = ipFamily === 6 ? 'ff00::/8' : '224.0.0.0/4'
    if (isIP(peers.multicast) === ipFamily && cidrContains(groups, peers.multicast)) return []
    const message = `${peers.multicast} is no multicast address of IPv${ipFamily}, which underlay.ipFamily says: expected one of ${groups}`
    return [{ path: 'underlay.peers.multicast', message }]
  }
  if (!('addresses' in peers)) return []
  return peers.addresses.flatMap((address, index) =>
    isIP(address) === ipFamily
      ? []
      : [
          {
            path: `underlay.peers.addresses[${index}]`,
            message: `${address} is not IPv${ipFamily}, which underlay.ipFamily says`,
          },
        ],
  )
}

/** A node's links share one name space: bridges, the VXLAN links named after them, the underlay's device. */
function checkLinkNames(system: System): Problem[] {
  const problems: Problem[] = []
  const taken = new Map<string, string>([[system.underlay.device, 'underlay.device']])
  for (const { network, bridge, vxlan } of networkLinks(system)) {
    const path = `${network}Network.bridge`
    const names: [string, string, string][] = [
      [bridge, bridge, path],
      [vxlan.name, `the VXLAN link of ${bridge} is ${vxlan.name}, which`, `the VXLAN link of ${path}`],
    ]
    // Equal bridges have equal VXLAN links as well: the first clash says it.
    const clash = names.find(([name]) => taken.has(name))
    if (clash !== undefined) {
      problems.push({ path, message: `${clash[1]} is ${taken.get(clash[0])} too: expected another name` })
    }
    for (const [name, , what] of names) taken.set(name, what)
  }
  return problems
}

/** The chain: pods' interfaces ≤ VXLAN ≤ underlay − 50 or 70, and the gateway network's ≤ the tunnel. */
function checkMtu(system: System): Problem[] {
  const { gatewayNetwork, routerNetwork, underlay, tunnel } = system
  const problems: Problem[] = []
  const most = underlay.mtu - vxlanOverhead(system)
  const overlay = `underlay.mtu ${underlay.mtu} less ${vxlanOverhead(system)} bytes of VXLAN`
  if (gatewayNetwork.mtu > most) {
    problems.push({
      path: 'gatewayNetwork.mtu',
      message: `${gatewayNetwork.mtu} is more than ${overlay}: expected at most ${Math.min(most, tunnel.mtu)}`,
    })
  } else if (gatewayNetwork.mtu > tunnel.mtu) {
    problems.push({
      path: 'gatewayNetwork.mtu',
      message: `${gatewayNetwork.mtu} is more than tunnel.mtu ${tunnel.mtu}: expected at most ${Math.min(most, tunnel.mtu)}`,
    })
  }
  if (routerNetwork !== undefined && routerNetwork.mtu > most) {
    problems.push({
      path: 'routerNetwork.mtu',
      message: `${routerNetwork.mtu} is more than ${overlay}: expected at most ${most}`,
    })
  }
  return problems
}

function checkForwards({ forwards, intranet }: System): Problem[] {
  const problems: Problem[] = []
  forwards.forEach((forward, index) => {
    const path = (field: string) => `forwards[${index}].${field}`
    if (!intranet.some((cidr) => cidrContains(cidr, forward.to.address))) {
      problems.push({
        path: path('to.address'),
        message: `${forward.to.address} is outside the intranet: expected an address that the cluster's own network reaches`,
      })
    }
    problems.push(...checkPorts(forward, path))
    forwards.slice(0, index).forEach((other, at) => {
      if (other.name === forward.name)
        problems.push({
          path: path('name'),
          message: `"${forward.name}" is forwards[${at}].name too: expected another name`,
        })
      const clash = portClash(forward, other)
      if (clash !== undefined) {
        problems.push({
          path: path(clash.field),
          message: `${clash.port} (${forward.protocol}) is forwarded by forwards[${at}] already`,
        })
      }
    })
  })
  return problems
}

/** A port at the exit is either known or leased. */
function checkPorts({ port, lease, to }: Forward, path: (field: string) => string): Problem[] {
  if (port !== undefined && lease !== undefined) {
    return [{ path: path('lease'), message: `port ${port} is given too: expected one of port, lease` }]
  }
  if (lease === undefined) {
    return port === undefined ? [{ path: path('port'), message: 'missing: expected one of port, lease' }] : []
  }
  if (to.port !== undefined) return []
  return [{ path: path('to.port'), message: "missing: expected the service's port, which a leased port does not tell" }]
}

/** A port of both at the gateway's end of the tunnel, and the field that says it. */
function portClash(forward: Forward, other: Forward): { port: number; field: string } | undefined {
  const sameProtocol = other.protocol === forward.protocol || other.protocol === 'both' || forward.protocol === 'both'
  const port = tunnelPort(forward)
  if (!sameProtocol || port === undefined || port !== tunnelPort(other)) return undefined
  // Where each of two providers picks a port, they are told apart by who was asked.
  if (port === 0 && forward.lease?.gateway !== other.lease?.gateway) return undefined
  return { port, field: forward.lease === undefined ? 'port' : 'lease.internalPort' }
}

function checkGateways({ gateway, gatewayNetwork }: System): Problem[] {
  const range = parseRange(gatewayNetwork.gateways)
  const known = new Set(addressesOf(range))
  return Object.keys(gateway.weights)
    .filter((address) => !known.has(address))
    .map((address) => ({
      path: `gateway.weights["${address}"]`,
      message: `is no address of gatewayNetwork.gateways ${range.first}-${range.last}`,
    }))
}

function checkHook({ gateway, gatewayNetwork }: System): Problem[] {
  if (gateway.forwardsHook === undefined) return []
  const path = 'gateway.forwardsHook'
  const { hostname } = new URL(gateway.forwardsHook)
  if (hostname.startsWith('[')) return [{ path, message: `${hostname} is IPv6: expected a name or an IPv4 address` }]
  const { subnet } = gatewayNetwork
  if (!address4.safeParse(hostname).success || !cidrContains(subnet, hostname)) return []
  const expected = 'expected an address that the pod network reaches'
  return [{ path, message: `${hostname} is on the gateway network ${subnet}: ${expected}` }]
}

function checkStickiness({ router, gatewayNetwork }: System): Problem[] {
  const all = parseRange(gatewayNetwork.clients)
  const ranges = router.stickiness.map(({ clients }) => parseRange(clients))
  return ranges.flatMap((range, index): Problem[] => {
    const path = `router.stickiness[${index}].clients`
    const text = `${range.first}-${range.last}`
    if (!rangeContains(all, range.first) || !rangeContains(all, range.last)) {
      return [{ path, message: `${text} is outside gatewayNetwork.clients ${all.first}-${all.last}` }]
    }
    const other = ranges.slice(0, index).findIndex((earlier) => rangesOverlap(range, earlier))
    return other < 0 ? [] : [{ path, message: `${text} overlaps router.stickiness[${other}].clients` }]
  })
}
