import type { Runner } from '@vpn-gateway/kernel'
import { createReconciler } from '@vpn-gateway/reconcile'
import { processorTicks, type AgentParts, type Log, type Registry } from '@vpn-gateway/runtime'
import { createCheckerWatch } from './checker-watch.ts'
import { refillConntrack } from './conntrack-refill.ts'
import { createConntrackdDaemon } from './conntrackd-daemon.ts'
import { createConntrackdWatch } from './conntrackd-watch.ts'
import { desired, ownerOf } from './desired.ts'
import { createGateways } from './gateways.ts'
import { createHandover } from './handover.ts'
import { createHealthLoop } from './health.ts'
import { createFlowLag } from './flow-lag.ts'
import { createIpvsResync } from './ipvs-resync.ts'
import { createIpvsView } from './ipvs.ts'
import { createKeepalivedDaemon } from './keepalived-daemon.ts'
import { createRouterMetrics } from './metrics.ts'
import { createOrphanWatch } from './orphans.ts'
import { createPeers } from './peers.ts'
import { createRole } from './role.ts'
import type { Router } from './router.ts'
import { routerRoutes } from './routes.ts'
import { createStaleServers } from './stale-servers.ts'
import { createStatus, isLeaderless } from './status.ts'
import { createSystemWatch } from './system-watch.ts'
import { createVipLease } from './vip-lease.ts'
import { createVrrp, holdsVirtualAddress } from './vrrp.ts'
import { hasIpv6, type World } from './world.ts'
import { createYield } from './yield.ts'

export interface AssembleOptions {
  /** Path of the system file. */
  config: string
  runner: Runner
  runDir: string
  log: Log
  registry: Registry
}

/** Puts the router's parts together. News runs one way: keepalived and IPVS → role → worth, conntrackd, desired state. */
export function assemble(router: Router, { config, runner, runDir, log, registry }: AssembleOptions): AgentParts {
  const daemonOptions = { router, runner, runDir, log }
  const ipv6 = hasIpv6()
  const world = (): World => ({
    live: ipvs.live(),
    inService: ipvs.realServers().length,
    orphans: role.orphans(),
    ipv6,
  })

  const reconciler = createReconciler({
    name: 'reconciler',
    owner: ownerOf(router),
    runner,
    desired: () => desired(router, world()),
    log,
    registry,
  })
  const ipvs = createIpvsView(() => {
    reconciler.trigger('gateways')
    role.weigh()
    yields.look()
  })
  const conntrackd = createConntrackdDaemon(daemonOptions)
  const conntrackdWatch = createConntrackdWatch({
    ask: () => conntrackd.stats(),
    ticks: async () => (conntrackd.daemon.pid === undefined ? undefined : processorTicks(conntrackd.daemon.pid)),
    running: () => conntrackd.daemon.state === 'running',
    restart: () => conntrackd.daemon.kill(),
    log,
  })
  const role = createRole({
    router,
    wasActive: holdsVirtualAddress(router),
    liveGateways: () => ipvs.live().size,
    prepared: () => status.prepared(),
    yields: () => yields.reason() !== undefined,
    tell: (state) => conntrackd.enter(state),
    async refill(needed) {
      const flows = await refillConntrack({ runner, path: router.paths.refill }, needed)
      if (flows > 0) log.info({ flows }, 'connection tracking knows all flows that IPVS does')
    },
    async apply() {
      return (await reconciler.settled()).converged
    },
    log,
  })
  const vrrp = createVrrp({
    router,
    log,
    onTransition(transition) {
      role.entered(transition)
      lease.update()
      metrics.transition(transition)
    },
  })
  const lease = createVipLease({ router, runner, vrrp, log })
  const flowLag = createFlowLag()
  const resync = createIpvsResync({ router, log, isLacking: (address) => flowLag.isLackedBy(address) })
  const peers = createPeers({
    router,
    missing: () => isLeaderless(status.standing(), peers.current().values()),
    onRound() {
      flowLag.look(status.standing(), peers.current().values())
      yields.look()
      role.weigh()
      resync.look(vrrp.state() === 'MASTER' && vrrp.holdsVip(), peers.current().values())
    },
    log,
  })
  const yields = createYield({
    router,
    runner,
    own: () => status.standing(),
    peers: () => peers.current().values(),
    onChange: () => role.weigh(),
    log,
  })
  const keepalived = createKeepalivedDaemon({
    ...daemonOptions,
    onStart: () => vrrp.assumeRunning(),
    onCause: (cause) => vrrp.hint(cause),
    onGateway(line) {
      staleServers.heard(line)
      ipvs.refresh()
    },
    onChecker: () => staleServers.checkerStarted(),
  })
  const checkerWatch = createCheckerWatch({
    pidFile: router.paths.keepalived.pidFiles.checkers,
    running: () => keepalived.daemon.state === 'running',
    log,
  })
  const inService = () => ipvs.realServers().map(({ address }) => address)
  const gateways = createGateways({ router, inService, log, onWeight: () => ipvs.refresh() })
  const staleServers = createStaleServers({
    router,
    runner,
    log,
    inService,
    onRemoved: () => ipvs.refresh(),
  })
  const systemWatch = createSystemWatch({
    router,
    path: config,
    async apply() {
      await keepalived.reload()
      await conntrackd.reload()
      reconciler.trigger('system file')
    },
    log,
  })
  const status = createStatus({
    router,
    reconciler,
    keepalived,
    conntrackd,
    conntrackdWatch,
    checkerWatch,
    vrrp,
    lease,
    peers,
    yields,
    resync,
    flowLag,
    role,
    systemWatch,
    ipvs,
    gateways,
    world,
  })
  const handover = createHandover(role)
  const health = createHealthLoop(() => status.look(), log)
  const orphanWatch = createOrphanWatch(runner, log)
  const metrics = createRouterMetrics(registry, {
    router,
    vrrp,
    daemons: [keepalived.daemon, conntrackd.daemon],
    orphans: () => orphanWatch.counts(),
    keepalived: () => keepalived.data(),
    conntrackd: () => conntrackdWatch.latest(),
  })
  return {
    // keepalived late, so that it goes early: the VIP is handed over while everything else still works.
    components: [
      ipvs,
      reconciler,
      orphanWatch,
      conntrackd,
      conntrackdWatch,
      role,
      vrrp,
      health,
      gateways,
      lease,
      resync,
      keepalived,
      handover,
      checkerWatch,
      peers,
      systemWatch,
    ],
    http: {
      readiness: () => status.readiness(),
      alive: () => status.alive(),
      status: () => status.overview(),
      routes: routerRoutes(status, peers),
    },
  }
}
