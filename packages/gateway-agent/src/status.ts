import type { System } from '@vpn-gateway/config'
import { listRuleCounters, type Runner, type WireguardDevice } from '@vpn-gateway/kernel'
import type { Reconciler, ReconcileStatus } from '@vpn-gateway/reconcile'
import type { Readiness } from '@vpn-gateway/runtime'
import type { DeviceReader } from './device.ts'
import type { Drain } from './drain.ts'
import type { Endpoints } from './endpoint.ts'
import { passRule, portForwards, type PortForward } from './firewall.ts'
import type { Health, TunnelState } from './health.ts'
import type { Prober } from './prober.ts'
import { readinessOf } from './readiness.ts'
import type { Tunnel } from './tunnel-file.ts'
import type { TunnelSource } from './tunnel-source.ts'
import { tunnelLink, tunnelMtu } from './wireguard.ts'
import type { World } from './world.ts'

/** What the agent shows of itself. */
export interface GatewayStatus {
  readiness: () => Readiness
  /** Why the process should be started anew, one line each. */
  alive: () => string[]
  /** What /v1/status adds to what every agent says. */
  summary: () => { tunnel: TunnelState; reconcile: ReconcileStatus }
  /** Whether the tunnel carries traffic, whatever else the agent is about. */
  carries: () => boolean
  draining: () => boolean
  /** The tunnel's device as the kernel holds it; undefined while there is none. */
  device: () => Promise<WireguardDevice | undefined>
  tunnel: () => Promise<TunnelStatus>
  forwards: () => Promise<ForwardStatus[]>
}

/** What the status is made of. */
export interface StatusParts {
  runner: Runner
  system: System
  options: Pick<World, 'primary'>
  tunnel: TunnelSource
  endpoints: Endpoints
  device: DeviceReader
  reconciler: Reconciler
  prober: Prober
  drain: Drain
}

/** Seconds without a pass after which the loop is taken for stuck; a full pass is due every ten. */
const stuckSeconds = 90

export function createStatus(parts: StatusParts): GatewayStatus {
  const { runner, system, options, tunnel, endpoints, device, reconciler, prober, drain } = parts
  const now = () => Date.now() / 1000
  const startedAt = now()
  const probed = () => ({ state: prober.state(), health: prober.health(), silence: prober.silence() })
  return {
    readiness: () =>
      readinessOf({
        ...probed(),
        draining: drain.active(),
        reconcile: reconciler.status(),
        latestHandshake: Math.max(0, ...(device.recent()?.peers ?? []).map((peer) => peer.latestHandshake)),
        now: now(),
        problems: [...tunnel.problems(), ...endpoints.problems()],
      }),
    alive() {
      const silence = now() - (reconciler.status().lastPassAt ?? startedAt)
      return silence > stuckSeconds ? [`no reconcile pass for ${Math.round(silence)} s`] : []
    },
    summary: () => ({ tunnel: prober.state(), reconcile: reconciler.status() }),
    carries: () => prober.state() === 'up',
    draining: () => drain.active(),
    device: () => device.read(),
    tunnel: async () =>
      tunnelStatus({
        ...probed(),
        tunnel: tunnel.current(),
        mtu: tunnelMtu(system, tunnel.current()),
        device: await device.read(),
        now: now(),
      }),
    forwards: () => forwardStatus(runner, system, options),
  }
}

/** A forward with what went through it towards the service since its rule was made. */
export interface ForwardStatus extends PortForward {
  packets: number
  bytes: number
}

/** Forwards with the counters of their rules in the filter table. */
async function forwardStatus(runner: Runner, system: System, world: Pick<World, 'primary'>): Promise<ForwardStatus[]> {
  const forwards = portForwards(system)
  if (forwards.length === 0) return []
  const counters = new Map(
    (await listRuleCounters(runner, 4, 'filter'))
      .filter(({ chain }) => chain === 'VG-FORWARD')
      .map((counter) => [counter.rule, counter]),
  )
  return forwards.map((forward) => {
    const counter = counters.get(passRule(forward, world))
    return { ...forward, packets: counter?.packets ?? 0, bytes: counter?.bytes ?? 0 }
  })
}

/** What /v1/tunnel answers; public keys only. */
export interface TunnelStatus {
  interface: string
  state: TunnelState
  publicKey: string
  addresses: string[]
  mtu: number
  /** Seconds since the last answer through the tunnel; absent before the first. */
  silenceSeconds?: number
  /** Seconds that the last answer took. */
  latencySeconds?: number
  /** Last failure of each target that does not answer. */
  probeFailures: Readonly<Record<string, string>>
  peers: {
    publicKey: string
    endpoint?: string
    /** Absent before the first handshake. */
    handshakeAgeSeconds?: number
    sentBytes: number
    receivedBytes: number
  }[]
}

/** Puts together what /v1/tunnel answers. Pure. */
export function tunnelStatus(input: {
  tunnel: Tunnel
  mtu: number
  state: TunnelState
  health: Health
  silence: number | undefined
  device: WireguardDevice | undefined
  /** Unix seconds. */
  now: number
}): TunnelStatus {
  const { tunnel, mtu, state, health, silence, device, now } = input
  return {
    interface: tunnelLink,
    state,
    publicKey: tunnel.publicKey,
    addresses: tunnel.addresses4,
    mtu,
    ...(silence === undefined ? {} : { silenceSeconds: round(silence) }),
    ...(health.latency === undefined ? {} : { latencySeconds: round(health.latency) }),
    probeFailures: health.failures,
    peers: (device?.peers ?? []).map((peer) => ({
      publicKey: peer.publicKey,
      ...(peer.endpoint === undefined ? {} : { endpoint: peer.endpoint }),
      ...(peer.latestHandshake === 0
        ? {}
        : { handshakeAgeSeconds: Math.max(0, Math.round(now - peer.latestHandshake)) }),
      sentBytes: peer.sent,
      receivedBytes: peer.received,
    })),
  }
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}
