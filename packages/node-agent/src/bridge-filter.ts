/**
 * What the node's own netfilter does with the networks. With br_netfilter loaded and bridge-nf-call-iptables=1, as
 * Kubernetes wants it, frames that only cross a bridge run through the FORWARD chain of the node, whose policy or
 * firewall would drop them; `-i` and `-o` then both name the bridge. Everything else on a bridge is none of the node's
 * business: it neither answers there nor routes from or to it, also where kernel parameters cannot be set.
 * Rules are written as iptables-save(8) prints them, because that is what they are compared with. Pure.
 */
import type { Family, IptablesSpec } from '@vpn-gateway/kernel'

/** Own chain in filter FORWARD. */
export const forwardChain = 'VG-BRIDGE'
/** Own chain in filter INPUT. */
const inputChain = 'VG-NODE'

/** The node's filter tables for its bridges; IPv6 is not carried at all. */
export function bridgeFilter(bridges: readonly string[], ipv6: boolean): IptablesSpec[] {
  return [filter(4, bridges), ...(ipv6 ? [filter(6, bridges)] : [])]
}

function filter(family: Family, bridges: readonly string[]): IptablesSpec {
  const forward = bridges.flatMap((bridge) => [
    ...(family === 4 ? [`-i ${bridge} -o ${bridge} -j ACCEPT`] : []),
    `-i ${bridge} -j DROP`,
    `-o ${bridge} -j DROP`,
  ])
  const input = bridges.map((bridge) => `-i ${bridge} -j DROP`)
  return {
    family,
    table: 'filter',
    policies: {},
    chains: { [forwardChain]: forward, [inputChain]: input },
    jumps: { FORWARD: forwardChain, INPUT: inputChain },
  }
}
