import { networkLinks, type NetworkLinks, type System } from '@vpn-gateway/config'
import { listFdb, listLinks, type FdbEntry, type Link, type Runner } from '@vpn-gateway/kernel'
import type { Reconciler, ReconcileStatus } from '@vpn-gateway/reconcile'
import type { Readiness } from '@vpn-gateway/runtime'
import { forwardChain } from './bridge-filter.ts'
import { isForeign } from './desired.ts'
import { readModules, type ModuleStatus } from './modules.ts'
import { mtuProblems, networkMtus, type NetworkMtu } from './mtu.ts'
import { peerProblems, type Underlay } from './underlay.ts'
import { hasBridgeNetfilter, type Peers, type World, type WorldReader } from './world.ts'

/** What the agent shows of itself. */
export interface NodeStatus {
  readiness: () => Readiness
  /** Why the process should be started anew, one line each. */
  alive: () => string[]
  /** What /v1/status adds to what every agent says. */
  summary: () => Promise<NodeSummary>
  networks: () => Promise<NetworkStatus[]>
  modules: () => Promise<ModuleStatus[]>
  underlay: () => Underlay | undefined
}

interface NodeSummary {
  /** Absent while it cannot be found. */
  underlay?: Underlay & { configuredMtu: number }
  networks: NetworkStatus[]
  bridgeNetfilter: {
    /** br_netfilter is loaded: frames on the bridges run through the node's FORWARD chain. */
    loaded: boolean
    /** Own chain that lets them through. */
    chain: string
  }
  /** What keeps the node from answering on the networks. */
  silencedBy: 'sysctls and rules' | 'rules only: /proc/sys is read-only'
  modulesMissing: string[]
  reconcile: ReconcileStatus
}

interface LinkStatus {
  name: string
  /** Somebody else's links are left alone. */
  state: 'up' | 'down' | 'absent' | 'foreign'
  /** Bytes. */
  mtu?: number
  mac?: string
}

/** One network on this node. */
export interface NetworkStatus {
  network: NetworkLinks['network']
  bridge: LinkStatus
  vxlan: LinkStatus & { vni: number; port: number }
  /** Bytes; `best` is absent while the underlay cannot be found. */
  mtu: { configured: number; best?: number }
  /** Ports of the bridge beside the VXLAN link: the pods here. */
  ports: number
  /** Ports whose MTU is larger than the VXLAN link's: what they send at full size never reaches another node. */
  oversizedPorts: string[]
  peers: PeerStatus
}

interface PeerStatus {
  /** Multicast group that floods go to. */
  group?: string
  /** Unicast peers that floods go to, this node left out. */
  configured?: string[]
  /** Nodes that frames came from lately, with the number of MACs learned behind each. */
  heard: Record<string, number>
}

/** Seconds without a pass after which the loop is taken for stuck; a full pass is due every ten. */
const stuckSeconds = 90

export function createStatus(parts: {
  runner: Runner
  system: System
  world: WorldReader
  reconciler: Reconciler
}): NodeStatus {
  const { runner, system, world, reconciler } = parts
  const startedAt = Date.now() / 1000
  const status: NodeStatus = {
    readiness: () => readinessOf(system, world.last()?.underlay, reconciler.status()),
    alive() {
      const silent = Date.now() / 1000 - (reconciler.status().lastPassAt ?? startedAt)
      return silent > stuckSeconds ? [`no reconcile pass for ${Math.round(silent)} s`] : []
    },
    async summary() {
      const [networks, modules] = await Promise.all([status.networks(), status.modules()])
      const seen = world.last()
      return {
        ...(seen === undefined ? {} : { underlay: { ...seen.underlay, configuredMtu: system.underlay.mtu } }),
        networks,
        bridgeNetfilter: { loaded: hasBridgeNetfilter(), chain: forwardChain },
        silencedBy: seen?.sysctls === false ? 'rules only: /proc/sys is read-only' : 'sysctls and rules',
        modulesMissing: modules.filter(({ present }) => !present).map(({ module }) => module),
        reconcile: reconciler.status(),
      }
    },
    async networks() {
      const links = await listLinks(runner)
      return Promise.all(
        networkLinks(system).map(async (network) => {
          const present = links.some(({ name }) => name === network.vxlan.name)
          const fdb = present ? await listFdb(runner, network.vxlan.name) : []
          return networkStatus(network, { system, links, fdb, world: world.last() })
        }),
      )
    },
    modules: () => readModules(system),
    underlay: () => world.last()?.underlay,
  }
  return status
}

/** Ready when the kernel holds all that it should and frames of full size get through the underlay. */
export function readinessOf(system: System, underlay: Underlay | undefined, reconcile: ReconcileStatus): Readiness {
  const reasons = reconcile.converged ? [] : [...reconcile.errors]
  if (!reconcile.converged && reasons.length === 0) reasons.push('the kernel does not hold all that it should yet')
  if (underlay !== undefined) {
    reasons.push(...mtuProblems(system, underlay), ...peerProblems(system, underlay))
    if (!underlay.carrier) reasons.push(`underlay ${underlay.device}: no carrier: no other node can be reached`)
  }
  return { state: reasons.length === 0 ? 'ready' : 'unready', reasons }
}

/** One network's status from what was read. Pure. */
export function networkStatus(
  { network, bridge, vxlan }: NetworkLinks,
  read: { system: System; links: readonly Link[]; fdb: readonly FdbEntry[]; world: World | undefined },
): NetworkStatus {
  const { system, links, fdb, world } = read
  const mtus: NetworkMtu[] = world === undefined ? [] : networkMtus(system, world.underlay)
  const best = mtus.find((item) => item.network === network)?.best
  const ports = links.filter(({ name, master }) => master === bridge && name !== vxlan.name)
  return {
    network,
    bridge: linkStatus(bridge, links),
    vxlan: { ...linkStatus(vxlan.name, links), vni: vxlan.vni, port: vxlan.port },
    mtu: { configured: vxlan.mtu, ...(best === undefined ? {} : { best }) },
    ports: ports.length,
    oversizedPorts: ports.filter(({ mtu }) => mtu > vxlan.mtu).map(({ name }) => name),
    peers: { ...(world === undefined ? {} : flooded(world.peers, world.underlay)), heard: heard(fdb) },
  }
}

function linkStatus(name: string, links: readonly Link[]): LinkStatus {
  const link = links.find((candidate) => candidate.name === name)
  if (link === undefined) return { name, state: 'absent' }
  const state = isForeign(name, { links }) ? 'foreign' : link.up ? 'up' : 'down'
  return { name, state, mtu: link.mtu, ...(link.mac === undefined ? {} : { mac: link.mac }) }
}

function flooded(peers: Peers, underlay: Underlay): Omit<PeerStatus, 'heard'> {
  if ('group' in peers) return { group: peers.group }
  return { configured: peers.addresses.filter((address) => address !== underlay.address) }
}

/** Learned entries are the ones that nobody made permanent. */
function heard(fdb: readonly FdbEntry[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { dst, state } of fdb) {
    if (dst !== undefined && state !== 'permanent') counts[dst] = (counts[dst] ?? 0) + 1
  }
  return counts
}
