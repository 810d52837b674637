import { loadSystem } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { requireNetAdmin, type AgentContext, type AgentParts } from '@vpn-gateway/runtime'
import { assemble } from './assemble.ts'
import { createDeviceReader } from './device.ts'
import { findImplementation } from './implementation.ts'
import type { gatewayOptions } from './options.ts'
import { requirePing, requirePrograms } from './preflight.ts'
import { openTunnelFiles } from './tunnel-source.ts'
import { ownAddress } from './world.ts'

/** Reads what the gateway is told and finds what it needs; throws a `UserError` where that is wrong or missing. */
export async function build({ options, log, registry }: AgentContext<typeof gatewayOptions>): Promise<AgentParts> {
  const runner = createRunner()
  await requirePrograms()
  const system = await loadSystem(options.config)
  await requireNetAdmin()
  await requirePing(system.tunnel.probe.targets)
  const device = createDeviceReader(runner)
  const tunnel = await openTunnelFiles(options.tunnel, await device.read(), log)
  const address = await ownAddress(runner, system, options)
  const implementation = await findImplementation(runner)
  return assemble({ system, tunnel, address, device, implementation, options }, { runner, log, registry })
}
