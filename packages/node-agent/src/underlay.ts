/** The device that carries the encapsulated frames from node to node. Pure. */
import { UserError, type System } from '@vpn-gateway/config'
import type { Address, Family, Link, Route } from '@vpn-gateway/kernel'
import { BlockList } from 'node:net'

/** The underlay as it is now. */
export interface Underlay {
  device: string
  /** Own address there: the source of the outer headers. */
  address: string
  /** Bytes. */
  mtu: number
  /** Frames can pass now. */
  carrier: boolean
}

/** What the kernel holds, as far as the choice of the underlay depends on it. */
export interface UnderlayView {
  links: readonly Link[]
  addresses: readonly Address[]
  routes: readonly Route[]
}

/** RT_TABLE_MAIN (rtnetlink(7)). */
const mainTable = 254

/**
 * Finds the device that `underlay.device` means and the node's address on it. Of several addresses it takes one that
 * the peers know, then the one that the agent's own VXLAN links use already, so that an address which comes and goes
 * beside it (a floating one of the cluster's API, say) moves nothing. Throws a `UserError` that says what is not there.
 */
export function chooseUnderlay(
  { underlay }: System,
  view: UnderlayView,
  ownLinks: ReadonlySet<string>,
  peers: readonly string[],
): Underlay {
  const { ipFamily } = underlay
  const own = view.addresses
    // A link-local address says nothing without its link (RFC 4291).
    .filter(({ dev, family, address }) => family === ipFamily && !ownLinks.has(dev) && !address.startsWith('fe80:'))
    .map(({ dev, address }) => ({ dev, address: address.slice(0, address.indexOf('/')) }))
  const candidates = underlay.device.includes('/')
    ? inNetwork(underlay.device, own, ipFamily)
    : onDevice(underlay.device, view, own, ipFamily)
  const devices = [...new Set(candidates.map(({ dev }) => dev))]
  if (devices.length > 1) {
    throw wrong(`${devices.join(' and ')} have addresses in ${underlay.device}: expected one of these names`)
  }
  const used = new Set(view.links.flatMap(({ name, vxlan }) => (ownLinks.has(name) && vxlan ? [vxlan.local] : [])))
  const chosen =
    candidates.find(({ address }) => peers.includes(address)) ??
    candidates.find(({ address }) => used.has(address)) ??
    candidates[0]
  if (chosen === undefined) throw wrong(nothingThere(underlay.device, view, ipFamily))
  const link = view.links.find(({ name }) => name === chosen.dev)
  if (link === undefined) throw wrong(`no link ${chosen.dev} on this node`)
  return { device: link.name, address: chosen.address, mtu: link.mtu, carrier: link.up && link.carrier }
}

/**
 * Why the other nodes would not send to this one, one line each: a node that is missing from a list of peers hears no
 * broadcast, hence no ARP and no VRRP.
 */
export function peerProblems({ underlay: { peers } }: System, { address, device }: Underlay): string[] {
  if (!('addresses' in peers) || peers.addresses.includes(address)) return []
  return [
    `underlay.peers.addresses: ${address}, this node's address on ${device}, is missing: expected every node's address`,
  ]
}

interface OwnAddress {
  dev: string
  address: string
}

function onDevice(device: string, view: UnderlayView, addresses: readonly OwnAddress[], family: Family): OwnAddress[] {
  const name = deviceByName(device, view, family)
  return addresses.filter(({ dev }) => dev === name)
}

function deviceByName(device: string, view: UnderlayView, family: Family): string {
  if (device !== 'default-route') return device
  const [best] = view.routes
    .filter(
      (route) =>
        route.family === family &&
        route.table === mainTable &&
        route.type === 'unicast' &&
        (route.dst === 'default' || route.dst === '::/0'),
    )
    .sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0))
  const dev = best?.nexthops[0]?.dev
  if (dev === undefined) throw wrong(`"default-route", but this node has no IPv${family} default route`)
  return dev
}

function nothingThere(device: string, view: UnderlayView, family: Family): string {
  if (device.includes('/')) return `no device of this node has an address in ${device}`
  const dev = deviceByName(device, view, family)
  if (view.links.some(({ name }) => name === dev)) return `${dev} has no IPv${family} address`
  const names = view.links.map(({ name }) => name).join(', ')
  return `"${dev}": no such link on this node: expected default-route, a CIDR or one of ${names}`
}

function inNetwork(network: string, addresses: readonly OwnAddress[], family: Family): OwnAddress[] {
  const [base = '', prefix = ''] = network.split('/')
  const list = new BlockList()
  try {
    // What is no network of the family is refused; host bits do not matter.
    list.addSubnet(base, Number(prefix), `ipv${family}`)
  } catch {
    throw wrong(`"${network}": expected an IPv${family} network as ADDRESS/PREFIX`)
  }
  return addresses.filter(({ address }) => list.check(address, `ipv${family}`))
}

function wrong(problem: string): UserError {
  return new UserError(`underlay.device: ${problem}`)
}
