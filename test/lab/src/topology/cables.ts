/** Namespaces, switches and the cables between them, as iproute2 batches. */
import type { Runner } from '@vpn-gateway/kernel'
import {
  CLUSTER,
  INTERNET,
  UNDERLAY,
  WAN,
  clusterGateway,
  clusterPrefix,
  clusterWanAddress,
  controlAddress,
  internetAddress,
  probeAddresses,
  serviceAddress,
  underlayGateway,
  underlayPrefix,
} from './addresses.ts'
import { ipBatch, runIn } from './namespace.ts'
import type { Pod, Topology } from './topology.ts'

/** Every namespace of the lab. */
export function namespacesOf(topology: Topology): string[] {
  const { nodes, pods, providers } = topology
  return [UNDERLAY, WAN, CLUSTER, INTERNET, ...[...nodes, ...providers, ...pods].map(({ name }) => name)]
}

const cable = (host: string, device: string, hub: string, port: string): string =>
  `link add name ${device} netns ${host} type veth peer name ${port} netns ${hub}`

/**
 * A switch without spanning tree; without snooping, multicast is flooded as on an unmanaged switch. Its MAC is given, because
 * the kernel would take the lowest of its ports', which come and go with pods: who has it as a router would not find it.
 */
const bridge = (name: string): string[] => [
  'link set lo up',
  `link add ${name} address 02:00:00:00:00:fe type bridge mcast_snooping 0`,
  `link set ${name} up`,
]
const port = (name: string, hub: string): string => `link set ${name} master ${hub} up`

/** Everything of one pod that exists before its network attachments: namespace and `eth0`. */
function podBatches(pod: Pod): { root: string[]; cluster: string[]; pod: string[] } {
  return {
    root: [
      `netns add ${pod.name}`,
      `link add name ${pod.name} index ${pod.clusterPort} netns ${CLUSTER} type veth peer name eth0 netns ${pod.name}`,
    ],
    cluster: [port(pod.name, 'br0')],
    pod: [
      'link set lo up',
      `addr add ${pod.clusterAddress}/${clusterPrefix} dev eth0`,
      'link set eth0 up',
      `route add default via ${clusterGateway} dev eth0`,
    ],
  }
}

/** Creates all namespaces with their cables and addresses; the pods' further networks are the CNI's. */
export async function layCables(runner: Runner, topology: Topology): Promise<void> {
  const pods = topology.pods.map(podBatches)
  const infrastructure = namespacesOf(topology).filter((name) => !topology.pods.some((pod) => pod.name === name))
  await ipBatch(runner, undefined, [
    ...infrastructure.map((name) => `netns add ${name}`),
    ...topology.nodes.map((node) => cable(node.name, 'eth0', UNDERLAY, node.name)),
    cable(CLUSTER, 'wan', WAN, CLUSTER),
    cable(INTERNET, 'eth0', WAN, INTERNET),
    ...topology.providers.map((provider) => cable(provider.name, 'wan', WAN, provider.name)),
    ...pods.flatMap((pod) => pod.root),
  ])
  await Promise.all([
    ipBatch(runner, UNDERLAY, [
      ...bridge('br0'),
      `addr add ${underlayGateway}/${underlayPrefix} dev br0`,
      ...topology.nodes.map((node) => port(node.name, 'br0')),
    ]),
    ipBatch(runner, WAN, [
      ...bridge('br0'),
      ...[CLUSTER, INTERNET, ...topology.providers.map(({ name }) => name)].map((name) => port(name, 'br0')),
    ]),
    ipBatch(runner, CLUSTER, [
      ...bridge('br0'),
      `addr add ${clusterGateway}/${clusterPrefix} dev br0`,
      `addr add ${serviceAddress}/32 dev lo`,
      `addr add ${clusterWanAddress}/24 dev wan`,
      'link set wan up',
      // The Internet host stands for all of the Internet, so that a leak to any address shows up there.
      `route add ${internetAddress}/32 dev wan`,
      `route add default via ${internetAddress} dev wan`,
      ...pods.flatMap((pod) => pod.cluster),
    ]),
    ipBatch(runner, INTERNET, [
      'link set lo up',
      `addr add ${internetAddress}/24 dev eth0`,
      `addr add ${controlAddress}/32 dev eth0`,
      ...[...probeAddresses, ...topology.pods.map(({ directAddress }) => directAddress)].map(
        (address) => `addr add ${address}/32 dev lo`,
      ),
      'link set eth0 up',
      'route add 198.51.100.0/24 dev eth0',
    ]),
    ...topology.nodes.map((node) =>
      ipBatch(runner, node.name, [
        'link set lo up',
        `addr add ${node.address}/${underlayPrefix} dev eth0`,
        'link set eth0 up',
        `route add default via ${underlayGateway}`,
      ]),
    ),
    // As on a node of a cluster.
    ...topology.nodes.map(({ name }) => runIn(runner, name, ['sysctl', '-qw', 'net.ipv4.ip_forward=1'])),
    ...topology.pods.map((pod, index) => ipBatch(runner, pod.name, pods[index]?.pod ?? [])),
  ])
}

/** Creates one pod's namespace and its `eth0` again, after `removePod`. */
export async function layPodCable(runner: Runner, pod: Pod): Promise<void> {
  const batches = podBatches(pod)
  await ipBatch(runner, undefined, batches.root)
  await Promise.all([ipBatch(runner, CLUSTER, batches.cluster), ipBatch(runner, pod.name, batches.pod)])
}
