/** The router: flows to live gateways, replies back, and another router that can go on with all of them. */
import { loadSystem } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { requireNetAdmin, runAgent } from '@vpn-gateway/runtime'
import { assemble } from './assemble.ts'
import { routerOptions } from './options.ts'
import { identify, requireModules, requirePrograms } from './preflight.ts'

await runAgent({
  agent: 'router-agent',
  options: routerOptions,
  async build({ options, log, registry }) {
    const runner = createRunner()
    await requirePrograms()
    const system = await loadSystem(options.config)
    await requireNetAdmin()
    await requireModules(runner, system)
    const router = await identify(runner, system, options)
    return assemble(router, { config: options.config, runner, runDir: options.runDir, log, registry })
  },
})
