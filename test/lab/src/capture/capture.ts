/**
 * Looks for leaks at three places: at the other end of every pod's `eth0`, on the underlay between nodes, and at the
 * Internet host. The pods' end is not used, so that a pod that is killed and comes back is watched all the time.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Runner } from '@vpn-gateway/kernel'
import { CAPTURE_DIR } from '../paths.ts'
import { CLUSTER, INTERNET, UNDERLAY, clusterGateway, controlAddress, underlayGateway } from '../topology/addresses.ts'
import { runIn } from '../topology/namespace.ts'
import type { Topology } from '../topology/topology.ts'
import { awaitCondition } from '../wait.ts'
import { internetLeakFilter, podLeakFilter, underlayLeakFilter } from './filter.ts'
import type { CapturedPacket, PacketKind } from './pcap.ts'
import { startTcpdump } from './tcpdump.ts'

/** Where leaks are looked for. */
const places = ['pods', 'underlay', 'internet'] as const
type Place = (typeof places)[number]

/** Packets of each kind; a kind that was not seen is absent. */
export type KindCount = Partial<Record<PacketKind, number>>

/** Packets that left outside a tunnel, since the capture began or was last reset. */
export interface LeakCount {
  /** Includes packets that came too fast to be written, which the places below lack. */
  total: number
  /** For each pod, what it sent on `eth0`. */
  perPod: Record<string, number>
  /** What nodes sent on the underlay outside of VXLAN. */
  underlay: number
  /** What reached the Internet host from elsewhere than an exit. */
  internet: number
  /** The same by place and kind. */
  kinds: Record<Place, KindCount>
}

export interface Capture {
  /** Counts leaks; none is missed that was sent before the call. */
  count(): Promise<LeakCount>
  /** Up to `limit` leaked packets of each place as tcpdump prints them, the latest ones. */
  samples(limit?: number): Promise<string[]>
  /** Forgets what was counted so far. */
  reset(): Promise<void>
  /**
   * Leaks on purpose and throws unless it is seen: from a pod's `eth0` one packet of each kind, to an Internet address that
   * no flow uses, which the Internet host sees too but for IPv6, which the cluster does not forward; from the pod's node a
   * packet on the underlay. Resets the count.
   */
  control(pod: string): Promise<LeakCount>
  stop(): Promise<void>
}

/** What the control leaks and therefore has to be seen, by place. The Internet is reached over IPv4 only. */
const controlKinds: Record<Place, readonly PacketKind[]> = {
  pods: ['tcp', 'udp', 'icmp', 'dns', 'ipv6'],
  underlay: ['udp'],
  internet: ['tcp', 'udp', 'icmp', 'dns'],
}

/**
 * One packet of each kind by `eth0`, however much of it is answered. The connection is refused at once; its bound counts from
 * the start of a shell, which takes seconds where everything is busy.
 */
const controlScript = `route="${controlAddress}/32 via ${clusterGateway} dev eth0"
ip route replace $route
echo leak >/dev/udp/${controlAddress}/9
echo leak >/dev/udp/${controlAddress}/53
echo leak >/dev/udp/ff02::1%eth0/9
timeout 15 bash -c 'exec 3<>/dev/tcp/${controlAddress}/9'
ping -q -c 1 -W 1 ${controlAddress}
ip route del $route`

interface Link {
  ifindex: number
  ifname: string
}

/** Starts all captures; resolves once every packet from now on is seen. `vxlanPort` is the one that nodes use. */
export async function startCapture(runner: Runner, topology: Topology, vxlanPort: number): Promise<Capture> {
  await mkdir(CAPTURE_DIR, { recursive: true })
  const linksOf = async (namespace: string) =>
    JSON.parse(await runner.run({ argv: ['ip', '-n', namespace, '-j', 'link', 'show'] })) as Link[]
  const [clusterLinks, underlayLinks] = await Promise.all([linksOf(CLUSTER), linksOf(UNDERLAY)])
  const podOf = new Map(topology.pods.map((pod) => [pod.clusterPort, pod.name]))
  const notPods = clusterLinks.filter(({ ifindex }) => !podOf.has(ifindex)).map(({ ifindex }) => ifindex)
  const nodes = new Set(topology.nodes.map(({ name }) => name))
  const ports = underlayLinks.filter(({ ifname }) => nodes.has(ifname)).map(({ ifindex }) => ifindex)
  const file = (place: Place) => join(CAPTURE_DIR, `${place}.pcap`)
  const start = (place: Place, namespace: string, device: string, filter: string) =>
    startTcpdump({ namespace, device, filter, file: file(place) })
  const [pods, underlay, internet] = await Promise.all([
    start('pods', CLUSTER, 'any', podLeakFilter(topology, notPods)),
    start('underlay', UNDERLAY, 'any', underlayLeakFilter(topology, vxlanPort, ports)),
    start('internet', INTERNET, 'eth0', internetLeakFilter(topology)),
  ])
  const dumps = { pods, underlay, internet }
  let seen: Record<Place, number> = { pods: 0, underlay: 0, internet: 0 }
  let missedBefore = 0

  const read = async () => {
    const all = await Promise.all(places.map((place) => dumps[place].captured()))
    const packets = Object.fromEntries(places.map((place, index) => [place, all[index]?.packets ?? []]))
    return {
      packets: packets as Record<Place, CapturedPacket[]>,
      missed: all.reduce((sum, { missed }) => sum + missed, 0),
    }
  }

  const count = async (): Promise<LeakCount> => {
    const { packets, missed } = await read()
    const fresh = (place: Place) => packets[place].slice(seen[place])
    const perPod: Record<string, number> = {}
    for (const { interfaceIndex = 0 } of fresh('pods')) {
      const pod = podOf.get(interfaceIndex) ?? `link ${interfaceIndex}`
      perPod[pod] = (perPod[pod] ?? 0) + 1
    }
    const written = places.reduce((sum, place) => sum + fresh(place).length, 0)
    return {
      total: written + missed - missedBefore,
      perPod,
      underlay: fresh('underlay').length,
      internet: fresh('internet').length,
      kinds: {
        pods: countKinds(fresh('pods')),
        underlay: countKinds(fresh('underlay')),
        internet: countKinds(fresh('internet')),
      },
    }
  }
  const reset = async (): Promise<void> => {
    const { packets, missed } = await read()
    seen = { pods: packets.pods.length, underlay: packets.underlay.length, internet: packets.internet.length }
    missedBefore = missed
  }

  return {
    count,
    reset,
    async samples(limit = 5) {
      const print = async (place: Place): Promise<string[]> => {
        const text = await runner.run({ argv: ['tcpdump', '-n', '-r', file(place)] })
        return text
          .split('\n')
          .filter(Boolean)
          .slice(seen[place])
          .slice(-limit)
          .map((line) => `${place}: ${line}`)
      }
      return (await Promise.all(places.map(print))).flat()
    },
    async control(name) {
      const pod = topology.pods.find((candidate) => candidate.name === name)
      if (pod === undefined) throw new Error(`control: no pod ${name}`)
      await reset()
      await Promise.all([
        runIn(runner, name, ['bash', '-c', `{ ${controlScript}\n} >/dev/null 2>&1 || true`]),
        runIn(runner, pod.node, ['bash', '-c', `echo leak >/dev/udp/${underlayGateway}/9`]),
      ])
      const leaked = await awaitCondition(
        `packets of all kinds from ${name}'s eth0 and from ${pod.node} to be seen at all places`,
        async () => {
          const now = await count()
          const unseen = places.flatMap((place) =>
            controlKinds[place]
              .filter((kind) => now.kinds[place][kind] === undefined)
              .map((kind) => `${kind} at ${place}`),
          )
          if (unseen.length === 0 && (now.perPod[name] ?? 0) >= controlKinds.pods.length) return now
          throw new Error(`not seen: ${unseen.join(', ')}; seen: ${JSON.stringify(now)}`)
        },
        { timeoutMs: 20_000 },
      )
      await reset()
      return leaked
    },
    async stop() {
      await Promise.all(places.map((place) => dumps[place].stop()))
    },
  }
}

function countKinds(packets: readonly CapturedPacket[]): KindCount {
  const kinds: KindCount = {}
  for (const { kind } of packets) kinds[kind] = (kinds[kind] ?? 0) + 1
  return kinds
}
