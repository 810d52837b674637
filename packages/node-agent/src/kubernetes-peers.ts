/** Peers by the nodes of the cluster: an agent that is replaced or dead leaves its node in the list. */
import type { Log } from '@vpn-gateway/runtime'
import { isIP } from 'node:net'
import type { KubernetesApi } from './kubernetes-api.ts'
import { membersOf } from './kubernetes-object.ts'
import { listWatch } from './list-watch.ts'
import type { PeerSource } from './peers.ts'

export interface KubernetesPeersOptions {
  api: KubernetesApi
  family: 4 | 6
  /** Called when the peers are others than before. */
  onChange: () => void
  log: Pick<Log, 'info' | 'warn'>
  /** See `ListWatchOptions`. */
  backoff?: readonly [number, number]
}

/** Follows the nodes' internal addresses; keeps those it has while the API server cannot be asked. */
export function createKubernetesPeers({ api, family, onChange, log, backoff }: KubernetesPeersOptions): PeerSource {
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let addresses: readonly string[] | undefined
  let answeredAt: number | undefined
  let problem: string | undefined

  function onItems(items: ReadonlyMap<string, string | undefined>): void {
    answeredAt = Math.floor(Date.now() / 1000)
    const found = [...new Set([...items.values()].filter((address) => address !== undefined))].sort()
    if (addresses !== undefined && found.join() === addresses.join()) return
    addresses = found
    log.info({ peers: found.length }, 'peers')
    onChange()
  }

  function onProblem(reason: string | undefined): void {
    if (reason !== undefined && reason !== problem) log.warn({}, `following the cluster's nodes: ${reason}`)
    if (reason === undefined && problem !== undefined) log.info({}, "the cluster's nodes are followed again")
    problem = reason
  }

  return {
    name: 'peers',
    async start() {
      const options = {
        api,
        path: '/api/v1/nodes',
        log,
        onItems,
        onProblem,
        ...(backoff === undefined ? {} : { backoff }),
      }
      running = listWatch({ ...options, pick: (node) => internalAddress(node, family) }, stopping.signal)
    },
    async stop() {
      stopping.abort()
      await running
    },
    current: () => (addresses === undefined ? undefined : { addresses }),
    status: () => ({
      source: 'kubernetes',
      ...(problem === undefined ? {} : { problem: `following the cluster's nodes: ${problem}` }),
      ...(answeredAt === undefined ? {} : { answeredAt }),
    }),
  }
}

/** The first address of type InternalIP of a Node (core/v1) that is of the family; undefined where it has none. */
export function internalAddress(node: unknown, family: 4 | 6): string | undefined {
  const { addresses } = membersOf(membersOf(node)['status'])
  if (!Array.isArray(addresses)) return undefined
  for (const each of addresses) {
    const { type, address } = membersOf(each)
    if (type === 'InternalIP' && typeof address === 'string' && isIP(address) === family) return address
  }
  return undefined
}
