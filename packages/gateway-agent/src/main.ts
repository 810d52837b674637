/** The gateway: one WireGuard tunnel, clients' traffic through it and nowhere else, ports from the internet inwards. */
import { loadSystem } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { createReconciler } from '@vpn-gateway/reconcile'
import { runAgent } from '@vpn-gateway/runtime'
import { createAnnouncement } from './announce.ts'
import { desired, owner } from './desired.ts'
import { createDeviceReader } from './device.ts'
import { countFlows, createDrain } from './drain.ts'
import { createEndpoints, knownEndpoints } from './endpoint.ts'
import { createGatewayMetrics } from './metrics.ts'
import { gatewayOptions } from './options.ts'
import { requireKernel, requirePrograms } from './preflight.ts'
import { createProber } from './prober.ts'
import { gatewayRoutes } from './routes.ts'
import { createStatus } from './status.ts'
import { openTunnelFile } from './tunnel-source.ts'
import { requireOwnAddress, worldOf } from './world.ts'

await runAgent({
  agent: 'gateway-agent',
  options: gatewayOptions,
  async build({ options, log, registry }) {
    const runner = createRunner()
    await requirePrograms()
    const system = await loadSystem(options.config)
    const tunnel = await openTunnelFile(options.tunnel)
    await requireOwnAddress(runner, system, options)
    const device = createDeviceReader(runner)
    const endpoints = createEndpoints({
      peers: () => tunnel.current().peers,
      known: knownEndpoints(await device.read()),
      suspect: () => prober.state() === 'down',
      onChange: () => reconciler.trigger('endpoint'),
      log,
    })
    const world = () => worldOf(options, endpoints.current())
    await requireKernel(runner, desired(system, tunnel.current(), await world()))
    const current = async () => desired(system, await tunnel.reread(), await world())
    const reconciler = createReconciler({ name: 'reconciler', owner, runner, desired: current, log, registry })
    const prober = createProber({
      probe: system.tunnel.probe,
      localAddress: () => tunnel.current().addresses4[0] ?? '',
      log,
      onResult: (result) => metrics.probe(result),
    })
    const drain = createDrain({ flowsInUse: () => countFlows(runner, system.gatewayNetwork.clients), log })
    const status = createStatus({ runner, system, options, tunnel, endpoints, device, reconciler, prober, drain })
    const metrics = createGatewayMetrics(registry, status)
    return {
      components: [reconciler, createAnnouncement(runner, options.interface, log), endpoints, prober],
      http: { ...status, status: status.summary, routes: gatewayRoutes(status, drain) },
      drain: drain.untilIdle,
      drainSeconds: system.gateway.drainSeconds,
    }
  },
})
