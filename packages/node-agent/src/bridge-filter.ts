/**
 * What the node's own netfilter does with the networks. With br_netfilter loaded and bridge-nf-call-iptables=1, as
 * Kubernetes wants it, frames that only cross a bridge run through the tables of the node as if they were routed. In raw
 * they meet reverse-path filters, which know no route to a client by a bridge without addresses; then connection
 * tracking, where each client's flow would take a place at each node that it crosses, and nat, where the node may
 * masquerade it; then FORWARD, whose policy or firewall would drop them; `-i` and `-o` there both name the bridge.
 * Everything else on a bridge is none of the node's business: it neither answers there nor routes from or to it, also
 * where kernel parameters cannot be set.
 * Rules are written as iptables-save(8) prints them, because that is what they are compared with. Pure.
 */
import type { Family, IptablesSpec } from '@vpn-gateway/kernel'

/** Own chain in filter FORWARD. */
export const forwardChain = 'VG-BRIDGE'
/** Own chain in filter INPUT. */
const inputChain = 'VG-NODE'
/** Own chain in raw PREROUTING. */
const rawChain = 'VG-RAW'

/** The node's tables for its bridges; IPv6 is not carried at all. */
export function bridgeFilter(
  bridges: readonly string[],
  { ipv6, notrack }: { ipv6: boolean; notrack: boolean },
): IptablesSpec[] {
  return [filter(4, bridges), raw(bridges, notrack), ...(ipv6 ? [filter(6, bridges)] : [])]
}

function raw(bridges: readonly string[], notrack: boolean): IptablesSpec {
  const rules = bridges.flatMap((bridge) => [
    ...(notrack ? [`-i ${bridge} -j CT --notrack`] : []),
    // Ends this table only: what the node filters by source in it is not asked.
    `-i ${bridge} -j ACCEPT`,
  ])
  return {
    family: 4,
    table: 'raw',
    policies: {},
    chains: { [rawChain]: rules },
    jumps: { PREROUTING: rawChain },
  }
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
