/** What more than one field is needed to judge. Pure; finds everything at once. */
import { overlapCidr } from 'cidr-tools'
import {
  cidrBounds,
  cidrContains,
  addressesOf,
  parseRange,
  rangeContains,
  rangeSize,
  rangesOverlap,
  type Range,
} from './address.ts'
import { networkLinks, vxlanOverhead4 } from './network-link.ts'
import type { System } from './schema.ts'

/** A problem of the system file: which field, and what was expected. */
export interface Problem {
  /** Dotted, with array indices in brackets: `forwards[1].port`. */
  path: string
  message: string
}

/** More routers would only make the state they share more expensive: one is active at a time. */
const mostRouters = 7
const mostGateways = 250

/** Every contradiction between fields of a system that has the right shape. */
export function checkSystem(system: System): Problem[] {
  return [
    ...checkGatewayNetwork(system),
    ...checkNetworks(system),
    ...checkLinkNames(system),
    ...checkMtu(system),
    ...checkForwards(system),
    ...checkGateways(system),
  ]
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
  return problems
}

function textOf(field: string, range: Range): string {
  return field === 'vip' ? range.first : `${range.first}-${range.last}`
}

function checkNetworks({ gatewayNetwork, routerNetwork, intranet, underlay }: System): Problem[] {
  const problems: Problem[] = []
  const networks: [string, string][] = [['gatewayNetwork.subnet', gatewayNetwork.subnet]]
  if (routerNetwork !== undefined) networks.push(['routerNetwork.subnet', routerNetwork.subnet])
  networks.forEach(([path, subnet], index) => {
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
  if ('multicast' in underlay.peers && !cidrContains('224.0.0.0/4', underlay.peers.multicast)) {
    problems.push({
      path: 'underlay.peers.multicast',
      message: `${underlay.peers.multicast} is no multicast address: expected one of 224.0.0.0/4`,
    })
  }
  return problems
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

/** The chain: pods' interfaces ≤ VXLAN ≤ underlay − 50, and the gateway network's ≤ the tunnel. */
function checkMtu({ gatewayNetwork, routerNetwork, underlay, tunnel }: System): Problem[] {
  const problems: Problem[] = []
  const most = underlay.mtu - vxlanOverhead4
  const overlay = `underlay.mtu ${underlay.mtu} less ${vxlanOverhead4} bytes of VXLAN`
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
    forwards.slice(0, index).forEach((other, at) => {
      if (other.name === forward.name)
        problems.push({
          path: path('name'),
          message: `"${forward.name}" is forwards[${at}].name too: expected another name`,
        })
      const sameProtocol =
        other.protocol === forward.protocol || other.protocol === 'both' || forward.protocol === 'both'
      if (other.port === forward.port && sameProtocol) {
        problems.push({
          path: path('port'),
          message: `${forward.port} (${forward.protocol}) is forwarded by forwards[${at}] already`,
        })
      }
    })
  })
  return problems
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
