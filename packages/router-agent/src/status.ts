import { readConntrackCount, readIpvs, readIpvsStats } from '@vpn-gateway/kernel'
import type { ReconcileStatus } from '@vpn-gateway/reconcile'
import type { Readiness, SupervisedDaemon } from '@vpn-gateway/runtime'
import type { ConntrackdDaemon } from './conntrackd-daemon.ts'
import type { Gateways } from './gateways.ts'
import type { IpvsView } from './ipvs.ts'
import type { KeepalivedDaemon } from './keepalived-daemon.ts'
import { priorityOf, vrrpInstance } from './keepalived.ts'
import { weightOf, type Router } from './router.ts'
import { readSyncDaemons, type SyncDaemons } from './sync-daemon.ts'
import type { Vrrp, VrrpState } from './vrrp.ts'
import type { World } from './world.ts'

/** What readiness is judged by. */
export interface ReadinessInput {
  reconcile: ReconcileStatus
  /** Problems of the daemons, one line each. */
  daemons: readonly string[]
  vrrp: VrrpState | undefined
  sync: SyncDaemons
  liveGateways: number
}

/** Ready when this router could carry flows, or does. */
export function readinessOf({ reconcile, daemons, vrrp, sync, liveGateways }: ReadinessInput): Readiness {
  const reasons: string[] = []
  if (!reconcile.converged) reasons.push(...reconcile.errors)
  if (!reconcile.converged && reasons.length === 0) reasons.push('the kernel does not hold all that it should yet')
  reasons.push(...daemons)
  if (vrrp === undefined) reasons.push('VRRP: state not known yet')
  else if (vrrp !== 'MASTER' && vrrp !== 'BACKUP') reasons.push(`VRRP: state ${vrrp}`)
  if (!sync.sender) reasons.push('IPVS sync: the sender does not run')
  if (!sync.receiver) reasons.push('IPVS sync: the receiver does not run')
  if (liveGateways === 0) reasons.push('no live gateway')
  return { state: reasons.length === 0 ? 'ready' : 'unready', reasons }
}

export interface StatusSources {
  router: Router
  reconciler: { status(): ReconcileStatus }
  keepalived: KeepalivedDaemon
  conntrackd: ConntrackdDaemon
  vrrp: Vrrp
  ipvs: IpvsView
  gateways: Gateways
  world: () => World
}

/** Everything that the agent shows, read when somebody asks. */
export interface Status {
  readiness(): Readiness
  /** Looks at processes and sockets, for `readiness`. */
  look(): Promise<void>
  overview(): object
  ipvs(): Promise<object>
  vrrp(): object
  conntrack(): Promise<object>
}

export function createStatus(sources: StatusSources): Status {
  const { router, reconciler, keepalived, conntrackd, vrrp, ipvs, gateways, world } = sources
  let keepalivedProblems: string[] = ['keepalived is starting']
  let sync: SyncDaemons = { sender: false, receiver: false }
  const daemons = [keepalived.daemon, conntrackd.daemon]

  return {
    readiness: () =>
      readinessOf({
        reconcile: reconciler.status(),
        daemons: [...keepalivedProblems, ...conntrackd.problems()],
        vrrp: vrrp.state(),
        sync,
        liveGateways: ipvs.live().size,
      }),
    async look() {
      ;[keepalivedProblems, sync] = await Promise.all([keepalived.problems(), readSyncDaemons()])
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
      return {
        instance: vrrpInstance,
        virtualRouterId: router.system.router.virtualRouterId,
        interface: router.syncLink,
        state: vrrp.state() ?? null,
        priority: priorityOf(router),
        vip: router.plan.vip,
        holdsVip: vrrp.holdsVip(),
        lastTransition:
          last === undefined
            ? null
            : { from: last.from ?? null, to: last.to, cause: last.cause, at: new Date(last.at).toISOString() },
      }
    },
    async conntrack() {
      const [kernel, daemon] = await Promise.all([readConntrackCount(), conntrackd.stats()])
      return { kernel: kernel ?? null, conntrackd: daemon ?? null }
    },
  }
}

function describeDaemon({ name, state, pid, restarts, lastExit }: SupervisedDaemon): object {
  return { name, state, pid: pid ?? null, restarts, lastExit: lastExit ?? null }
}
