/** The lab as one value: which namespaces there are, on which node a pod runs, which provider a gateway uses. */
import type { AttachmentName } from '@vpn-gateway/config'
import {
  directAddress,
  endpointAddress,
  exitAddress,
  nodeAddress,
  otherEndpointAddress,
  podAddress,
} from './addresses.ts'

/** `full`: two routers, three gateways. `single`: the simple alternative, one gateway and no router. */
export type Variant = 'full' | 'single'
export type PodKind = 'gateway' | 'router' | 'client'

/** A cable from a pod into one of the product's networks. */
interface PodInterface {
  /** Name inside the pod. */
  name: 'net1' | 'net2'
  attachment: AttachmentName
}

export interface Pod {
  name: string
  kind: PodKind
  /** Namespace of the node that it runs on. */
  node: string
  /** Address of `eth0` on the primary network. */
  clusterAddress: string
  /** Interface index of the other end of `eth0`, in `cluster`; fixed, so that captures can tell pods apart over a restart. */
  clusterPort: number
  interfaces: PodInterface[]
  /** Address on the Internet that a client may send to by this pod alone, with routes of its own. */
  directAddress: string
}

export interface Provider {
  name: string
  endpoint: string
  /** Where the same server is reached too. */
  otherEndpoint: string
  exit: string
  /** Name of the gateway that has an account here. */
  gateway: string
}

export interface Topology {
  variant: Variant
  nodes: { name: string; address: string }[]
  pods: Pod[]
  providers: Provider[]
}

const interfacesOf: Record<PodKind, PodInterface[]> = {
  gateway: [{ name: 'net1', attachment: 'gateway' }],
  router: [
    { name: 'net1', attachment: 'router' },
    { name: 'net2', attachment: 'router-sync' },
  ],
  client: [{ name: 'net1', attachment: 'client' }],
}

/** Interface indexes below this one are left to links that get theirs from the kernel. */
const FIRST_CLUSTER_PORT = 101

/** Computes the lab's topology; the order of `pods` is the order in which addresses are handed out. */
export function topologyOf(variant: Variant): Topology {
  const counts = variant === 'full' ? { gateway: 3, router: 2, client: 2 } : { gateway: 1, router: 0, client: 2 }
  const kinds: PodKind[] = ['gateway', 'router', 'client']
  const placed = kinds.flatMap((kind) =>
    Array.from({ length: counts[kind] }, (_, index) => ({
      kind,
      name: `${kind}-${index}`,
      node: `node-${(index % 2) + 1}`,
    })),
  )
  return {
    variant,
    nodes: [1, 2].map((node) => ({ name: `node-${node}`, address: nodeAddress(node) })),
    pods: placed.map((pod, index) => ({
      ...pod,
      clusterAddress: podAddress(index),
      clusterPort: FIRST_CLUSTER_PORT + index,
      interfaces: interfacesOf[pod.kind],
      directAddress: directAddress(index),
    })),
    providers: Array.from({ length: counts.gateway }, (_, index) => ({
      name: `provider-${index}`,
      endpoint: endpointAddress(index),
      otherEndpoint: otherEndpointAddress(index),
      exit: exitAddress(index),
      gateway: `gateway-${index}`,
    })),
  }
}
