import { healthAddress, type System } from '@vpn-gateway/config'
import { listLinks, readReceivedBytes, resetWireguardPeers, type Runner } from '@vpn-gateway/kernel'
import { createReconciler } from '@vpn-gateway/reconcile'
import type { AgentParts, Log, Registry } from '@vpn-gateway/runtime'
import { createAnnouncement } from './announce.ts'
import { desired, ownerOf } from './desired.ts'
import { latestHandshake, type DeviceReader } from './device.ts'
import { countFlows, createDrain } from './drain.ts'
import { createEndpoints, knownEndpoints } from './endpoint.ts'
import { createExitAddressWatch } from './exit-address.ts'
import { createForwarding } from './forwarding.ts'
import { createHealthLease } from './health-lease.ts'
import type { Implementation } from './implementation.ts'
import { createGatewayMetrics } from './metrics.ts'
import { mtuNotices } from './mtu.ts'
import type { GatewayOptions } from './options.ts'
import { requireKernel } from './preflight.ts'
import { createProber } from './prober.ts'
import { createRecoverer } from './recoverer.ts'
import { createRoomCheck } from './room.ts'
import { gatewayRoutes } from './routes.ts'
import { createStatus } from './status.ts'
import type { TunnelSource } from './tunnel-source.ts'
import { createTunnelWatch } from './tunnel-watch.ts'
import { createWireguardGo } from './wireguard-go.ts'
import { tunnelLink, tunnelMtu } from './wireguard.ts'
import { worldOf } from './world.ts'

/** One gateway, as it was told and found to be. */
export interface Gateway {
  system: System
  tunnel: TunnelSource
  /** Address on the gateway network. */
  address: string
  device: DeviceReader
  implementation: Implementation
  options: GatewayOptions
}

/** Puts the gateway's parts together. News runs one way: files and probes → endpoints → desired state → kernel. */
export async function assemble(
  { system, tunnel, address, device, implementation, options }: Gateway,
  { runner, log, registry }: { runner: Runner; log: Log; registry: Registry },
): Promise<AgentParts> {
  const endpoints = createEndpoints({
    peers: () => tunnel.current().peers,
    known: knownEndpoints(await device.read()),
    onChange: () => reconciler.trigger('endpoint'),
    log,
  })
  const localAddress = () => tunnel.current().addresses4[0] ?? ''
  const forwarding = await createForwarding({
    system,
    options,
    localAddress,
    up: () => prober.state() === 'up',
    endpoints: () => endpoints.current().values(),
    applied: () => reconciler.settled(),
    registry,
    log,
  })
  const world = () => worldOf(options, implementation, endpoints.current(), forwarding.world())
  await requireKernel(runner, desired(system, tunnel.current(), await world()))
  const primary = (await listLinks(runner)).find(({ name }) => name === options.primary)
  if (primary !== undefined) {
    const family = [...endpoints.current().values()].some((endpoint) => endpoint.startsWith('[')) ? 6 : 4
    const mtus = {
      tunnel: tunnelMtu(system, tunnel.current()),
      network: system.gatewayNetwork.mtu,
      primary,
      family,
    } as const
    for (const notice of mtuNotices(mtus)) log.warn(notice)
  }
  const current = async () => desired(system, await tunnel.reread(), await world())
  const reconciler = createReconciler({
    name: 'reconciler',
    owner: ownerOf(system, options),
    runner,
    desired: current,
    log,
    registry,
  })
  const prober = createProber({
    probe: system.tunnel.probe,
    localAddress,
    receivedBytes: () => readReceivedBytes(tunnelLink),
    isFull: createRoomCheck({ latestHandshake: () => latestHandshake(device) }),
    runner,
    log,
    onResult: (result) => metrics.probe(result),
    onState: () => lease.update(),
  })
  const recoverer = createRecoverer({
    tunnel,
    endpoints,
    device,
    down: () => prober.state() === 'down',
    applied: () => reconciler.settled(),
    async resetPeers() {
      const { wireguard = [] } = await current()
      // All of this took its time: a tunnel that came back meanwhile keeps its sessions.
      if (prober.state() !== 'down') return
      for (const spec of wireguard) await resetWireguardPeers(runner, spec)
    },
    onAction: (action) => metrics.recovery(action),
    log,
  })
  const lease = createHealthLease({
    runner,
    dev: options.interface,
    address: healthAddress(address),
    healthy: () => prober.state() === 'up',
    onMissing: () => metrics.healthAddressMissing(),
    log,
  })
  const exitAddress = createExitAddressWatch({
    url: system.tunnel.exitAddressUrl,
    localAddress,
    up: () => prober.state() === 'up',
    endpoints: () => endpoints.current().values(),
    log,
  })
  const userspace =
    implementation === 'kernel'
      ? []
      : [createWireguardGo({ runner, runDir: options.runDir, log, onReady: () => reconciler.trigger('wireguard-go') })]
  const drain = createDrain({ flowsInUse: () => countFlows(runner, system.gatewayNetwork.clients), log })
  const parts = {
    runner,
    system,
    address,
    implementation,
    tunnel,
    endpoints,
    device,
    reconciler,
    prober,
    exitAddress,
    forwarding,
    drain,
  }
  const status = createStatus(parts)
  const metrics = createGatewayMetrics(registry, status)
  return {
    components: [
      ...userspace,
      reconciler,
      createTunnelWatch(options.tunnel, () => reconciler.trigger('tunnel files'), log),
      createAnnouncement(runner, options.interface, log),
      endpoints,
      prober,
      recoverer,
      lease,
      exitAddress,
      ...forwarding.components,
    ],
    http: { ...status, status: status.summary, routes: gatewayRoutes(status, drain) },
    drain: drain.untilIdle,
    drainSeconds: system.gateway.drainSeconds,
  }
}
