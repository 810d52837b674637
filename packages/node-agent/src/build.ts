import { loadSystem } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { createReconciler } from '@vpn-gateway/reconcile'
import { requireNetAdmin, type AgentContext, type AgentParts } from '@vpn-gateway/runtime'
import { desired, ownerOf, removed } from './desired.ts'
import { registerNodeMetrics } from './metrics.ts'
import { createNodeView } from './node-view.ts'
import { apiServer, type nodeOptions } from './options.ts'
import { createPeerSource } from './peer-source.ts'
import { canLeaveUntracked, requireFit, requireLinkTypes, requirePrograms } from './preflight.ts'
import { nodeRoutes } from './routes.ts'
import { createStatus } from './status.ts'
import { createWorldReader } from './world.ts'

/** Reads what the node is told, finds what it needs, and puts its parts together; throws a `UserError` where that is wrong. */
export async function build({ options, log, registry }: AgentContext<typeof nodeOptions>): Promise<AgentParts> {
  const runner = createRunner()
  const system = await loadSystem(options.config)
  await requirePrograms()
  await requireNetAdmin()
  await requireLinkTypes(runner)
  const url = apiServer(options.apiServer, process.env)
  const peers = await createPeerSource(system, {
    runner,
    api: url === undefined ? undefined : { url, credentials: options.apiCredentials },
    onChange: () => reconciler.trigger('peers'),
    log,
  })
  const notrack = await canLeaveUntracked()
  const world = createWorldReader(runner, system, { node: options.name, notrack, peers: () => peers.current() })
  const removing = options.remove === 'yes'
  if (!removing) requireFit(system, await world.read(), options.config)

  // Stopping takes nothing away: pods keep their networks while the agent is restarted, upgraded or dead.
  const reconciler = createReconciler({
    name: 'reconciler',
    owner: ownerOf(system),
    runner,
    desired: async () => (removing ? removed(await world.read()) : desired(system, await world.read())),
    log,
    registry,
  })
  const view = createNodeView({ runner, system, world: () => world.last(), log })
  const status = createStatus({ runner, system, world, peers, view, reconciler, removing })
  registerNodeMetrics(registry, status)
  return {
    components: [peers, reconciler, view],
    http: { ...status, status: status.summary, routes: nodeRoutes(status) },
  }
}
