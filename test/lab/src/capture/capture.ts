/**
 * Looks for leaks at two places: at the other end of every pod's `eth0`, and at the Internet host. The pods' end is not
 * used, so that a pod that is killed and comes back is watched all the time.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Runner } from '@vpn-gateway/kernel'
import { CAPTURE_DIR } from '../paths.ts'
import { CLUSTER, INTERNET, clusterGateway, clusterWanAddress, controlAddress } from '../topology/addresses.ts'
import { ipBatch, runIn } from '../topology/namespace.ts'
import type { Topology } from '../topology/topology.ts'
import { awaitCondition } from '../wait.ts'
import { internetLeakFilter, podLeakFilter } from './filter.ts'
import { startTcpdump } from './tcpdump.ts'

/** Packets that left outside a tunnel, since the capture began or was last reset. */
export interface LeakCount {
  /** Includes packets that came too fast to be written, which the places below lack. */
  total: number
  /** For each pod, what it sent on `eth0`. */
  perPod: Record<string, number>
  /** What reached the Internet host from elsewhere than an exit. */
  internet: number
}

export interface Capture {
  /** Counts leaks; none is missed that was sent before the call. */
  count(): Promise<LeakCount>
  /** Up to `limit` leaked packets of each place as tcpdump prints them, the latest ones. */
  samples(limit?: number): Promise<string[]>
  /** Forgets what was counted so far. */
  reset(): Promise<void>
  /**
   * Leaks one packet on purpose, from a client's `eth0` to an Internet address that no flow uses, and throws unless
   * both places have seen it. Resets the count.
   */
  control(client: string): Promise<void>
  stop(): Promise<void>
}

/** Starts both captures; resolves once every packet from now on is seen. */
export async function startCapture(runner: Runner, topology: Topology): Promise<Capture> {
  await mkdir(CAPTURE_DIR, { recursive: true })
  const links = JSON.parse(await runner.run({ argv: ['ip', '-n', CLUSTER, '-j', 'link', 'show'] })) as {
    ifindex: number
    ifname: string
  }[]
  const podOf = new Map(topology.pods.map((pod) => [pod.clusterPort, pod.name]))
  const notPods = links.filter(({ ifindex }) => !podOf.has(ifindex)).map(({ ifindex }) => ifindex)
  const files = { cluster: join(CAPTURE_DIR, 'cluster.pcap'), internet: join(CAPTURE_DIR, 'internet.pcap') }
  const [cluster, internet] = await Promise.all([
    startTcpdump({ namespace: CLUSTER, device: 'any', filter: podLeakFilter(topology, notPods), file: files.cluster }),
    startTcpdump({ namespace: INTERNET, device: 'eth0', filter: internetLeakFilter(topology), file: files.internet }),
  ])
  const seen = { cluster: 0, internet: 0, missed: 0 }
  const read = async () => {
    const [fromPods, atInternet] = await Promise.all([cluster.captured(), internet.captured()])
    return { fromPods: fromPods.packets, atInternet: atInternet.packets, missed: fromPods.missed + atInternet.missed }
  }

  const count = async (): Promise<LeakCount> => {
    const { fromPods, atInternet, missed } = await read()
    const perPod: Record<string, number> = {}
    for (const { interfaceIndex = 0 } of fromPods.slice(seen.cluster)) {
      const pod = podOf.get(interfaceIndex) ?? `link ${interfaceIndex}`
      perPod[pod] = (perPod[pod] ?? 0) + 1
    }
    const arrived = atInternet.length - seen.internet
    const total = fromPods.length - seen.cluster + arrived + missed - seen.missed
    return { total, perPod, internet: arrived }
  }
  const reset = async (): Promise<void> => {
    const { fromPods, atInternet, missed } = await read()
    Object.assign(seen, { cluster: fromPods.length, internet: atInternet.length, missed })
  }

  return {
    count,
    reset,
    async samples(limit = 5) {
      const print = async (file: string, skip: number): Promise<string[]> => {
        const text = await runner.run({ argv: ['tcpdump', '-n', '-r', file] })
        return text.split('\n').filter(Boolean).slice(skip).slice(-limit)
      }
      const places = await Promise.all([print(files.cluster, seen.cluster), print(files.internet, seen.internet)])
      return places.flat()
    },
    async control(client) {
      const route = `${controlAddress}/32 via ${clusterGateway} dev eth0`
      await reset()
      await ipBatch(runner, client, [`route replace ${route}`])
      try {
        await runIn(runner, client, ['bash', '-c', `echo leak >/dev/udp/${controlAddress}/9`])
        await awaitCondition(
          `a packet from ${client}'s eth0 to be seen there and, from ${clusterWanAddress}, at the Internet host`,
          async () => {
            const { perPod, internet: arrived } = await count()
            if ((perPod[client] ?? 0) > 0 && arrived > 0) return true
            throw new Error(`seen ${JSON.stringify(perPod)} at the pods, ${arrived} at the Internet host`)
          },
          { timeoutMs: 10_000 },
        )
      } finally {
        await ipBatch(runner, client, [`route del ${route}`])
      }
      await reset()
    },
    async stop() {
      await Promise.all([cluster.stop(), internet.stop()])
    },
  }
}
