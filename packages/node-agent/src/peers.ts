/** Who receives what is flooded, and where that is known from. */
import type { System } from '@vpn-gateway/config'
import type { Component } from '@vpn-gateway/runtime'

/** Who receives what is flooded: broadcasts, and frames for a MAC that no node has learned yet. */
export type Peers = { group: string } | { addresses: readonly string[] }

/** Where the peers are known from, as a component that follows them. */
export interface PeerSource extends Component {
  /** All nodes, this one too; undefined until they were learned: what the kernel holds is then left as it is. */
  current(): Peers | undefined
  status(): PeerSourceStatus
}

export interface PeerSourceStatus {
  source: 'multicast' | 'addresses' | 'dns' | 'kubernetes'
  /** Why the latest answer could not be had; absent when it could. The peers known before stay. */
  problem?: string
  /** Unix seconds of the latest answer of a source that is asked. */
  answeredAt?: number
  /** Addresses that are no longer answered and are still sent to. */
  leaving?: string[]
}

/** Peers that stand in the system file; undefined where they have to be asked for. */
export function configuredPeers({ underlay: { peers } }: System): PeerSource | undefined {
  if ('multicast' in peers) return fixed('multicast', { group: peers.multicast })
  return 'addresses' in peers ? fixed('addresses', { addresses: peers.addresses }) : undefined
}

function fixed(source: PeerSourceStatus['source'], peers: Peers): PeerSource {
  return {
    name: 'peers',
    start: async () => undefined,
    stop: async () => undefined,
    current: () => peers,
    status: () => ({ source }),
  }
}
