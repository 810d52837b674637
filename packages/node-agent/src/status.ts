import { networkLinks, type NetworkLinks, type System } from '@vpn-gateway/config'
import { listFdb, listLinks, type FdbEntry, type Link, type Runner } from '@vpn-gateway/kernel'
import type { Reconciler, ReconcileStatus } from '@vpn-gateway/reconcile'
import { shared, type Readiness } from '@vpn-gateway/runtime'
import { forwardChain } from './bridge-filter.ts'
import { isForeign, otherNodes } from './desired.ts'
import type { Finding } from './finding.ts'
import { isWanting, type ModuleStatus } from './modules.ts'
import type { NodeView } from './node-view.ts'
import { mtuProblems, networkMtus, type NetworkMtu } from './mtu.ts'
import { peerProblems, type Underlay } from './underlay.ts'
import type { PeerSource, PeerSourceStatus } from './peers.ts'
import { hasBridgeNetfilter, type World, type WorldReader } from './world.ts'

/** What the agent shows of itself. */
export interface NodeStatus {
  readiness: () => Readiness
  /** Why the process should be started anew, one line each. */
  alive: () => string[]
  /** What /v1/status adds to what every agent says. */
  summary: () => Promise<NodeSummary>
  networks: () => Promise<NetworkStatus[]>
  modules: () => readonly ModuleStatus[]
  findings: () => readonly Finding[]
  offloads: () => Readonly<Record<string, boolean>> | undefined
  peers: () => PeerSummary
  underlay: () => Underlay | undefined
}

interface NodeSummary {
  /** Absent while it cannot be found. */
  underlay?: Underlay & {
    configuredMtu: number
    /** What the device does for encapsulated frames; absent without ethtool(8). */
    offloads?: Readonly<Record<string, boolean>>
  }
  peers: PeerSummary
  networks: NetworkStatus[]
  bridgeNetfilter: {
    /** br_netfilter is loaded: frames on the bridges run through the node's FORWARD chain. */
    loaded: boolean
    /** Own chain that lets them through. */
    chain: string
  }
  /** What keeps the node from answering on the networks. */
  silencedBy: 'sysctls and rules' | 'rules only: /proc/sys is read-only'
  /** Kernel modules that something here will fail for want of. */
  modulesMissing: string[]
  findings: readonly Finding[]
  reconcile: ReconcileStatus
}

/** Where the peers are known from, and how many they are, this node left out; no number with a group or before the first answer. */
type PeerSummary = PeerSourceStatus & { count?: number }

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
  peers: PeerSource
  view: NodeView
  reconciler: Reconciler
  /** The links are to go, and nothing is needed for them. */
  removing: boolean
}): NodeStatus {
  const { runner, system, world, peers, view, reconciler, removing } = parts
  const startedAt = Date.now() / 1000
  const status: NodeStatus = {
    readiness: () =>
      removing
        ? removalOf(reconciler.status())
        : readinessOf(system, world.last(), reconciler.status(), [...view.problems(), ...peerReasons(peers)]),
    alive() {
      const silent = Date.now() / 1000 - (reconciler.status().lastPassAt ?? startedAt)
      return silent > stuckSeconds ? [`no reconcile pass for ${Math.round(silent)} s`] : []
    },
    async summary() {
      const networks = await status.networks()
      const seen = world.last()
      const offloads = view.offloads()
      return {
        ...(seen === undefined
          ? {}
          : {
              underlay: {
                ...seen.underlay,
                configuredMtu: system.underlay.mtu,
                ...(offloads === undefined ? {} : { offloads }),
              },
            }),
        peers: status.peers(),
        networks,
        bridgeNetfilter: { loaded: hasBridgeNetfilter(), chain: forwardChain },
        silencedBy: seen?.sysctls === false ? 'rules only: /proc/sys is read-only' : 'sysctls and rules',
        modulesMissing: view
          .modules()
          .filter(isWanting)
          .map(({ module }) => module),
        findings: view.findings(),
        reconcile: reconciler.status(),
      }
    },
    // Whoever asks over HTTP must not be able to start processes each time.
    networks: shared(async () => {
      const links = await listLinks(runner)
      return Promise.all(
        networkLinks(system).map(async (network) => {
          const present = links.some(({ name }) => name === network.vxlan.name)
          const fdb = present ? await listFdb(runner, network.vxlan.name) : []
          return networkStatus(network, { system, links, fdb, world: world.last() })
        }),
      )
    }),
    modules: () => view.modules(),
    findings: () => view.findings(),
    offloads: () => view.offloads(),
    peers() {
      const seen = world.last()
      const others = seen === undefined ? undefined : otherNodes(seen)
      return { ...peers.status(), ...(others === undefined ? {} : { count: others.length }) }
    },
    underlay: () => world.last()?.underlay,
  }
  return status
}

/** A node without peers is alone; one whose peers cannot be asked for just now goes on with those it has. */
function peerReasons(peers: PeerSource): string[] {
  if (peers.current() !== undefined) return []
  return [`peers: not known yet: ${peers.status().problem ?? 'no answer'}`]
}

/** Ready once nothing of the agent's is left. */
function removalOf({ converged, errors }: ReconcileStatus): Readiness {
  return converged ? { state: 'ready', reasons: [] } : { state: 'unready', reasons: ['removing', ...errors] }
}

/** Ready when the kernel holds all that it should, frames of full size get through, and nothing else is wrong here. */
export function readinessOf(
  system: System,
  world: World | undefined,
  reconcile: ReconcileStatus,
  problems: readonly string[],
): Readiness {
  const underlay = world?.underlay
  const reasons = reconcile.converged ? [] : [...reconcile.errors]
  if (!reconcile.converged && reasons.length === 0) reasons.push('the kernel does not hold all that it should yet')
  if (underlay !== undefined) {
    reasons.push(...mtuProblems(system, underlay), ...peerProblems(system, underlay))
    if (!underlay.carrier) reasons.push(`underlay ${underlay.device}: no carrier: no other node can be reached`)
  }
  reasons.push(...problems)
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
    peers: { ...(world === undefined ? {} : flooded(world)), heard: heard(fdb) },
  }
}

function linkStatus(name: string, links: readonly Link[]): LinkStatus {
  const link = links.find((candidate) => candidate.name === name)
  if (link === undefined) return { name, state: 'absent' }
  const state = isForeign(name, { links }) ? 'foreign' : link.up ? 'up' : 'down'
  return { name, state, mtu: link.mtu, ...(link.mac === undefined ? {} : { mac: link.mac }) }
}

function flooded(world: World): Omit<PeerStatus, 'heard'> {
  if (world.peers !== undefined && 'group' in world.peers) return { group: world.peers.group }
  const configured = otherNodes(world)
  return configured === undefined ? {} : { configured }
}

/** Learned entries are the ones that nobody made permanent. */
function heard(fdb: readonly FdbEntry[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { dst, state } of fdb) {
    if (dst !== undefined && state !== 'permanent') counts[dst] = (counts[dst] ?? 0) + 1
  }
  return counts
}
