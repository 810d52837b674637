/** The gateway: one WireGuard tunnel, clients' traffic through it and nowhere else, ports from the internet inwards. */
import { loadSystem } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { requireNetAdmin, runAgent } from '@vpn-gateway/runtime'
import { assemble } from './assemble.ts'
import { createDeviceReader } from './device.ts'
import { gatewayOptions } from './options.ts'
import { findImplementation } from './implementation.ts'
import { requirePing, requirePrograms } from './preflight.ts'
import { openTunnelFiles } from './tunnel-source.ts'
import { ownAddress } from './world.ts'

await runAgent({
  agent: 'gateway-agent',
  options: gatewayOptions,
  async build({ options, log, registry }) {
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
  },
})
