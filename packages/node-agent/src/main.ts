/** The node: a bridge for each network that pods are plugged into, and a VXLAN link that joins it with the other nodes'. */
import { loadSystem } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { createReconciler } from '@vpn-gateway/reconcile'
import { runAgent } from '@vpn-gateway/runtime'
import { desired, ownerOf } from './desired.ts'
import { registerNodeMetrics } from './metrics.ts'
import { nodeOptions } from './options.ts'
import { requireFit, requireLinkTypes, requirePrograms } from './preflight.ts'
import { nodeRoutes } from './routes.ts'
import { createStatus } from './status.ts'
import { createWorldReader } from './world.ts'

await runAgent({
  agent: 'node-agent',
  options: nodeOptions,
  async build({ options, log, registry }) {
    const runner = createRunner()
    const system = await loadSystem(options.config)
    await requirePrograms()
    await requireLinkTypes(runner)
    const world = createWorldReader(runner, system, options.name)
    requireFit(system, await world.read(), options.config)

    // Stopping takes nothing away: pods keep their networks while the agent is restarted, upgraded or dead.
    const reconciler = createReconciler({
      name: 'reconciler',
      owner: ownerOf(system),
      runner,
      desired: async () => desired(system, await world.read()),
      log,
      registry,
    })
    const status = createStatus({ runner, system, world, reconciler })
    registerNodeMetrics(registry, status)
    return {
      components: [reconciler],
      http: { ...status, status: status.summary, routes: nodeRoutes(status) },
    }
  },
})
