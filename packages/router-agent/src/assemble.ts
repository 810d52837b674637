import type { Runner } from '@vpn-gateway/kernel'
import { createReconciler } from '@vpn-gateway/reconcile'
import type { AgentParts, Log, Registry } from '@vpn-gateway/runtime'
import { createConntrackdDaemon } from './conntrackd-daemon.ts'
import { desired, owner } from './desired.ts'
import { createGateways } from './gateways.ts'
import { createHealthLoop } from './health.ts'
import { createIpvsView } from './ipvs.ts'
import { createKeepalivedDaemon } from './keepalived-daemon.ts'
import { createRouterMetrics } from './metrics.ts'
import { createRole } from './role.ts'
import type { Router } from './router.ts'
import { routerRoutes } from './routes.ts'
import { createStaleServers } from './stale-servers.ts'
import { createStatus } from './status.ts'
import { createVrrp } from './vrrp.ts'
import { hasIpv6, type World } from './world.ts'

/** Puts the router's parts together. News runs one way: keepalived and IPVS → role → worth, conntrackd, desired state. */
export function assemble(
  router: Router,
  { runner, runDir, log, registry }: { runner: Runner; runDir: string; log: Log; registry: Registry },
): AgentParts {
  const daemonOptions = { router, runner, runDir, log }
  const ipv6 = hasIpv6()
  const world = (): World => ({ live: ipvs.live(), orphans: role.orphans(), ipv6 })

  const reconciler = createReconciler({
    name: 'reconciler',
    owner,
    runner,
    desired: () => desired(router, world()),
    log,
    registry,
  })
  const ipvs = createIpvsView(() => {
    reconciler.trigger('gateways')
    role.weigh()
  })
  const conntrackd = createConntrackdDaemon(daemonOptions)
  const role = createRole({
    router,
    liveGateways: () => ipvs.live().size,
    tell: (state) => conntrackd.enter(state),
    onChange: () => reconciler.trigger('role'),
    log,
  })
  const vrrp = createVrrp({
    router,
    log,
    onTransition(transition) {
      role.entered(transition)
      metrics.transition(transition)
    },
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
  const inService = () => ipvs.realServers().map(({ address }) => address)
  const gateways = createGateways({ router, inService, log, onWeight: () => ipvs.refresh() })
  const staleServers = createStaleServers({
    router,
    runner,
    log,
    inService,
    stateOf: (gateway) => gateways.states().get(gateway),
    onRemoved: () => ipvs.refresh(),
  })
  const status = createStatus({ router, reconciler, keepalived, conntrackd, vrrp, ipvs, gateways, world })
  const health = createHealthLoop(() => status.look(), log)
  const metrics = createRouterMetrics(registry, {
    router,
    vrrp,
    daemons: [keepalived.daemon, conntrackd.daemon],
    conntrackd: () => conntrackd.stats(),
  })
  return {
    // keepalived last, so that it goes first: the VIP is handed over while everything else still works.
    components: [ipvs, reconciler, conntrackd, role, vrrp, health, gateways, keepalived],
    http: { readiness: () => status.readiness(), status: () => status.overview(), routes: routerRoutes(status) },
  }
}
