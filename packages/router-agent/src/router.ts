import type { AddressPlan, System } from '@vpn-gateway/config'
import type { Paths } from './paths.ts'

/** Who this router is: the system it belongs to and the pod it runs in. All that desired state and daemons derive from. */
export interface Router {
  system: System
  plan: AddressPlan
  /** Name that logs, VRRP and metrics show. */
  name: string
  /** Link on the gateway network, `net1`. */
  link: string
  /** Own address on the gateway network, inside `gatewayNetwork.routers`. */
  address: string
  /** Link on the router network, `net2`. */
  syncLink: string
  /** Own address on the router network. */
  syncAddress: string
  /** CIDR of the router network. */
  syncSubnet: string
  paths: Paths
}

/** Weight of a gateway that the system file gives none. */
const defaultWeight = 100

/** IPVS weight of a gateway, 1 to 65535. */
export function weightOf({ system }: Pick<Router, 'system'>, gateway: string): number {
  return system.gateway.weights[gateway] ?? defaultWeight
}

/** Firewall mark of what IPVS carries; IPVS compares all 32 bits of it. */
export const flowMark = 1

/** TCP port of the gateways' agents, the default of their `--listen`. */
export const gatewayPort = 9801

/** TCP port of the routers' agents, the default of their `--listen`. */
export const routerPort = 9802

/** Multicast group and UDP port of conntrackd; IPVS' own sync has 224.0.0.81 and 8848 (ip_vs_sync.c). */
export const conntrackSync = { group: '225.0.0.50', port: 3780 } as const
export const ipvsSync = { group: '224.0.0.81', port: 8848 } as const

/**
 * Bytes of the longest message of IPVS' sync, for the sender and for the receiver, whose buffer is no longer: it refuses
 * what is. A message leaves when it is full, or after two seconds: a short one (five flows) keeps the others up to date.
 */
export const syncMessageBytes = 200
