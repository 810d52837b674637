import { loadSystem } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { requireNetAdmin, type AgentContext, type AgentParts } from '@vpn-gateway/runtime'
import { assemble } from './assemble.ts'
import type { routerOptions } from './options.ts'
import { identify, requireModules, requirePrograms } from './preflight.ts'

/** Reads what the router is told and finds what it needs; throws a `UserError` where that is wrong or missing. */
export async function build({ options, log, registry }: AgentContext<typeof routerOptions>): Promise<AgentParts> {
  const runner = createRunner()
  await requirePrograms()
  const system = await loadSystem(options.config)
  await requireNetAdmin()
  await requireModules(runner, system)
  const router = await identify(runner, system, options)
  return assemble(router, { config: options.config, runner, runDir: options.runDir, log, registry })
}
