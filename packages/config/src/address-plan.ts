/** Everything that follows from the addresses of a system file. */
import { excludeCidr } from 'cidr-tools'
import { addressesOf, cidrsOf, parseRange } from './address.ts'
import type { System } from './schema.ts'

export interface AddressPlan {
  /** Subnet of the gateway network. */
  onLink: string
  prefixLength: number
  vip: string
  /** The client range, as the fewest CIDRs that cover exactly it. */
  clientCidrs: string[]
  /** Every address of the range, whether a pod has it or not. */
  routerAddresses: string[]
  gatewayAddresses: string[]
  /** What the gateways' health addresses are, as the fewest CIDRs that cover exactly them. */
  healthCidrs: string[]
  /** What a gateway routes back through the VIP: the client range, each CIDR longer than the on-link prefix. */
  returnRoutes: string[]
  /** What a client routes to the VIP: everything but the intranet. */
  clientRoutes: string[]
}

/** Computes the address plan of a valid system. */
export function addressPlan(system: System): AddressPlan {
  const { subnet, clients, routers, gateways, vip } = system.gatewayNetwork
  const clientCidrs = cidrsOf(parseRange(clients))
  return {
    onLink: subnet,
    prefixLength: prefixOf(subnet),
    vip,
    clientCidrs,
    routerAddresses: addressesOf(parseRange(routers)),
    gatewayAddresses: addressesOf(parseRange(gateways)),
    healthCidrs: cidrsOf(parseRange(gateways)).map(toLinkLocal),
    // A client range is smaller than its subnet, which also holds the VIP: its CIDRs are longer by themselves.
    returnRoutes: clientCidrs,
    clientRoutes: excludeCidr(['0.0.0.0/0'], system.intranet),
  }
}

/**
 * The address that a gateway has beside its own while its tunnel carries traffic: link-local (RFC 3927), with the last two
 * octets of its own. 192.168.50.248 becomes 169.254.50.248.
 */
export function healthAddress(gateway: string): string {
  return toLinkLocal(gateway)
}

/** Of an address or a CIDR, whose prefix is longer than 16 in any range of gateways. */
function toLinkLocal(text: string): string {
  return ['169', '254', ...text.split('.').slice(2)].join('.')
}

function prefixOf(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1))
}
