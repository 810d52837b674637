import { readConntrackCount, readConntrackStats, readIpvs, readIpvsStats } from '@vpn-gateway/kernel'
import type { ReconcileStatus } from '@vpn-gateway/reconcile'
import { shared, type Readiness, type SupervisedDaemon } from '@vpn-gateway/runtime'
import type { CheckerWatch } from './checker-watch.ts'
import type { ConntrackdDaemon } from './conntrackd-daemon.ts'
import type { ConntrackdWatch } from './conntrackd-watch.ts'
import type { FlowLag } from './flow-lag.ts'
import type { Gateways } from './gateways.ts'
import type { IpvsResync } from './ipvs-resync.ts'
import type { IpvsView } from './ipvs.ts'
import type { KeepalivedDaemon } from './keepalived-daemon.ts'
import { priorityOf, vrrpInstance } from './keepalived.ts'
import type { Peer, Peers, Standing } from './peers.ts'
import type { Role } from './role.ts'
import { weightOf, type Router } from './router.ts'
import { readSyncDaemons, type SyncDaemons } from './sync-daemon.ts'
import type { SystemWatch } from './system-watch.ts'
import type { VipLease } from './vip-lease.ts'
import type { Vrrp, VrrpState } from './vrrp.ts'
import type { World } from './world.ts'
import type { Yield } from './yield.ts'

/** What readiness is judged by. */
export interface ReadinessInput {
  reconcile: ReconcileStatus
  /** Problems of the daemons, one line each. */
  daemons: readonly string[]
  vrrp: VrrpState | undefined
  /** Why the router steps back by its own decision. */
  yields?: string | undefined
  /** Whether it is a standby that the active router has not told all flows yet, or that lacks some. */
  untold?: boolean
  /** Whether it would still reset flows that it does not know, as it did while it was active. */
  resets?: boolean
  sync: SyncDaemons
  liveGateways: number
}

/** Ready when this router could carry flows, or does. */
export function readinessOf({
  reconcile,
  daemons,
  vrrp,
  yields,
  untold,
  resets,
  sync,
  liveGateways,
}: ReadinessInput): Readiness {
  const reasons: string[] = []
  if (!reconcile.converged) reasons.push(...reconcile.errors)
  if (!reconcile.converged && reasons.length === 0) reasons.push('the kernel does not hold all that it should yet')
  reasons.push(...daemons)
  if (yields !== undefined) reasons.push(`steps back: ${yields}`)
  else if (vrrp === undefined) reasons.push('VRRP: state not known yet')
  else if (vrrp !== 'MASTER' && vrrp !== 'BACKUP') reasons.push(`VRRP: state ${vrrp}`)
  if (untold === true) reasons.push('IPVS sync: waiting for the flows that were there before')
  if (resets === true) reasons.push('flows that are not known yet would still be reset')
  if (!sync.sender) reasons.push('IPVS sync: the sender does not run')
  if (!sync.receiver) reasons.push('IPVS sync: the receiver does not run')
  if (liveGateways === 0) reasons.push('no live gateway')
  return { state: reasons.length === 0 ? 'ready' : 'unready', reasons }
}

/** Unix seconds at which each of the agent's loops was last seen to turn. */
export interface Loops {
  now: number
  lastPassAt: number
  lastIpvsReadAt: number
  lastLookAt: number
}

/** Seconds after which a loop is taken for stuck; a full pass is due every ten, the others every second. */
const stuckSeconds = 90

/** The loops that no longer turn, one line each. Pure. */
export function stuckLoops({ now, lastPassAt, lastIpvsReadAt, lastLookAt }: Loops): string[] {
  const loops: [string, number][] = [
    ['no reconcile pass', lastPassAt],
    ["no reading of IPVS' services", lastIpvsReadAt],
    ['no look at the daemons', lastLookAt],
  ]
  return loops.filter(([, at]) => now - at > stuckSeconds).map(([what, at]) => `${what} for ${Math.round(now - at)} s`)
}

export interface StatusSources {
  router: Router
  reconciler: { status(): ReconcileStatus }
  keepalived: KeepalivedDaemon
  checkerWatch: Pick<CheckerWatch, 'problems'>
  conntrackd: ConntrackdDaemon
  conntrackdWatch: ConntrackdWatch
  vrrp: Vrrp
  lease: VipLease
  peers: Peers
  yields: Yield
  resync: IpvsResync
  flowLag: Pick<FlowLag, 'lacks'>
  role: Pick<Role, 'resetsStill'>
  systemWatch: Pick<SystemWatch, 'problems'>
  ipvs: IpvsView
  gateways: Gateways
  world: () => World
}

/** Everything that the agent shows, read when somebody asks. */
export interface Status {
  readiness(): Readiness
  /** Why the process should be started anew, one line each. */
  alive(): string[]
  /** Looks at processes and sockets, for `readiness`. */
  look(): Promise<void>
  /** What this router tells the others. */
  standing(): Standing
  /** Whether it has what it needs to take over: it replicates and, as a standby, was told all flows, has them and would not reset others. */
  prepared(): boolean
  overview(): object
  ipvs(): Promise<object>
  vrrp(): object
  conntrack(): Promise<object>
}

export function createStatus(sources: StatusSources): Status {
  const { router, reconciler, keepalived, checkerWatch, conntrackd, conntrackdWatch, vrrp, lease, peers } = sources
  const { yields, resync, flowLag, role, systemWatch, ipvs, gateways, world } = sources
  let keepalivedProblems: string[] = ['keepalived is starting']
  let sync: SyncDaemons = { sender: false, receiver: false }
  const startedAt = Date.now() / 1000
  let lookedAt = startedAt
  const daemons = [keepalived.daemon, conntrackd.daemon]
  const conntrackdProblems = () => [...conntrackd.problems(), ...conntrackdWatch.problems()]
  const stuckProblems = () => [...lease.problems(), ...checkerWatch.problems(), ...conntrackdProblems()]
  const standing = (): Standing => {
    const last = vrrp.last()
    return {
      vrrp: vrrp.state() ?? null,
      holdsVip: vrrp.holdsVip(),
      stateSeconds: last === undefined ? null : (Date.now() - last.at) / 1000,
      liveGateways: ipvs.reached(),
      flows: ipvs.flows(),
      fit: keepalivedProblems.length === 0 && stuckProblems().length === 0 && sync.sender && sync.receiver,
      yields: yields.reason() !== undefined,
    }
  }

  const untold = () => (vrrp.state() === 'BACKUP' && flowLag.lacks()) || isUntold(standing(), peers.current().values())

  return {
    standing,
    prepared: () => standing().fit && !untold() && !role.resetsStill(),
    readiness: () =>
      readinessOf({
        reconcile: reconciler.status(),
        daemons: [...keepalivedProblems, ...stuckProblems()],
        vrrp: vrrp.state(),
        yields: yields.reason(),
        untold: untold(),
        resets: role.resetsStill(),
        sync,
        liveGateways: ipvs.live().size,
      }),
    alive: () =>
      stuckLoops({
        now: Date.now() / 1000,
        lastPassAt: reconciler.status().lastPassAt ?? startedAt,
        lastIpvsReadAt: ipvs.readAt() ?? startedAt,
        lastLookAt: lookedAt,
      }),
    async look() {
      ;[keepalivedProblems, sync] = await Promise.all([keepalived.problems(), readSyncDaemons()])
      lookedAt = Date.now() / 1000
    },
    overview: () => ({
      interface: router.link,
      address: router.address,
      routerInterface: router.syncLink,
      routerAddress: router.syncAddress,
      vrrp: { state: vrrp.state() ?? null, holdsVip: vrrp.holdsVip() },
      liveGateways: [...ipvs.live().keys()],
      orphans: world().orphans,
      ipvsSync: sync,
      daemons: daemons.map(describeDaemon),
      systemFile: { used: systemWatch.problems().length === 0, problems: systemWatch.problems() },
      reconcile: reconciler.status(),
    }),
    async ipvs() {
      const [services, stats] = await Promise.all([readIpvs(), readIpvsStats()])
      return {
        totals: stats ?? null,
        services: (services ?? []).map((service) => ({
          ...service,
          realServers: service.realServers.map((server) => ({
            ...server,
            state: gateways.states().get(server.address) ?? null,
          })),
        })),
        // The whole range, so that a gateway that is not there shows as such.
        gateways: router.plan.gatewayAddresses.map((address) => ({
          address,
          configuredWeight: weightOf(router, address),
          inService: ipvs.realServers().some((server) => server.address === address),
          state: gateways.states().get(address) ?? null,
        })),
      }
    },
    vrrp() {
      const last = vrrp.last()
      const { vrrp: state, ...rest } = standing()
      const data = keepalived.data()
      return {
        instance: vrrpInstance,
        virtualRouterId: router.system.router.virtualRouterId,
        interface: router.syncLink,
        address: router.address,
        routerAddress: router.syncAddress,
        state,
        priority: priorityOf(router),
        effectivePriority: data?.effectivePriority ?? null,
        vip: router.plan.vip,
        ...rest,
        yields: yields.reason() ?? null,
        told: resync.told(),
        peers: [...peers.current().values()].map(({ heardAt, vrrp: theirs, ...peer }) => ({
          ...peer,
          state: theirs,
          heardSecondsAgo: round((performance.now() - heardAt) / 1000),
        })),
        lastTransition:
          last === undefined
            ? null
            : { from: last.from ?? null, to: last.to, cause: last.cause, at: new Date(last.at).toISOString() },
        /** What keepalived says of itself; null when it does not answer. */
        keepalived: data ?? null,
      }
    },
    // Whoever asks over HTTP must not be able to start a process each time.
    conntrack: shared(async () => {
      const [kernel, stats, daemon] = await Promise.all([
        readConntrackCount(),
        readConntrackStats(),
        conntrackd.stats(),
      ])
      return {
        kernel: kernel === undefined ? null : { ...kernel, stats: stats ?? null },
        conntrackd: daemon ?? null,
        problems: conntrackdProblems(),
      }
    }),
  }
}

/** Whether this router stands by for an active one that it has not heard. Pure. */
export function isLeaderless(own: Standing, peers: Iterable<Peer>): boolean {
  return own.vrrp === 'BACKUP' && activeOf(peers) === undefined
}

/**
 * Whether a standby still lacks flows: the active router has not told all since this one stands by. An active router that
 * does not answer is waited for so long as it may be slow; of what it knows then, nothing is known. Pure.
 */
export function isUntold(own: Standing, peers: Iterable<Peer>): boolean {
  if (own.vrrp !== 'BACKUP' || own.stateSeconds === null || own.liveGateways === 0) return false
  const active = activeOf(peers)
  if (active === undefined) return own.stateSeconds < answerWithinSeconds
  return active.toldSeconds === undefined || active.toldSeconds > own.stateSeconds
}

/** Seconds after which a standby does without an active router's answer: many rounds of questions. */
const answerWithinSeconds = 20

function activeOf(peers: Iterable<Peer>): Peer | undefined {
  return [...peers].find((peer) => peer.holdsVip && peer.vrrp === 'MASTER')
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10
}

function describeDaemon({ name, state, pid, restarts, lastExit }: SupervisedDaemon): object {
  return { name, state, pid: pid ?? null, restarts, lastExit: lastExit ?? null }
}
