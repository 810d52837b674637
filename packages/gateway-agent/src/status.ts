import type { System } from '@vpn-gateway/config'
import { listRuleCounters, type Runner, type WireguardDevice } from '@vpn-gateway/kernel'
import type { Reconciler, ReconcileStatus } from '@vpn-gateway/reconcile'
import { shared, type Readiness } from '@vpn-gateway/runtime'
import { latestHandshake, type DeviceReader } from './device.ts'
import type { Drain } from './drain.ts'
import type { Endpoints } from './endpoint.ts'
import type { ExitAddress, ExitAddressWatch } from './exit-address.ts'
import { forwardChain } from './firewall.ts'
import type { ForwardRecord } from './forward-record.ts'
import { portForwards } from './forward.ts'
import type { Forwarding } from './forwarding.ts'
import type { Health, TunnelState } from './health.ts'
import type { Implementation } from './implementation.ts'
import type { Prober } from './prober.ts'
import { readinessOf } from './readiness.ts'
import type { Tunnel } from './tunnel-file.ts'
import type { TunnelSource } from './tunnel-source.ts'
import { tunnelLink, tunnelMtu } from './wireguard.ts'

/** What the agent shows of itself. */
export interface GatewayStatus {
  readiness: () => Readiness
  /** Why the process should be started anew, one line each. */
  alive: () => string[]
  /** What /v1/status adds to what every agent says. */
  summary: () => { address: string; tunnel: TunnelState; reconcile: ReconcileStatus }
  /** Whether the tunnel carries traffic, whatever else the agent is about. */
  carries: () => boolean
  draining: () => boolean
  /** The exit's public address; undefined while unknown. */
  exitAddress: () => ExitAddress | undefined
  /** The tunnel's device as the kernel holds it; undefined while there is none. */
  device: () => Promise<WireguardDevice | undefined>
  implementation: Implementation
  /** Name of the tunnel file in use. */
  file: () => string
  /** What is wrong with the tunnel files as they are now, one line each; what they held before is in use. */
  fileProblems: () => readonly string[]
  tunnel: () => Promise<TunnelStatus>
  forwards: () => Promise<ForwardStatus[]>
}

/** What the status is made of. */
export interface StatusParts {
  runner: Runner
  system: System
  /** Address on the gateway network, by which routers know the gateway. */
  address: string
  implementation: Implementation
  tunnel: TunnelSource
  endpoints: Endpoints
  device: DeviceReader
  reconciler: Reconciler
  prober: Prober
  exitAddress: ExitAddressWatch
  forwarding: Pick<Forwarding, 'world' | 'records'>
  drain: Drain
}

/** Seconds without a pass after which the loop is taken for stuck; a full pass is due every 30, sooner after a failure. */
const stuckSeconds = 90

export function createStatus(parts: StatusParts): GatewayStatus {
  const {
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
  } = parts
  const now = () => Date.now() / 1000
  const startedAt = now()
  const probed = () => ({ state: prober.state(), health: prober.health(), silence: prober.silence() })
  return {
    readiness: () =>
      readinessOf({
        ...probed(),
        draining: drain.active(),
        reconcile: reconciler.status(),
        latestHandshake: () => latestHandshake(device),
        now: now(),
        problems: [...tunnel.problems(), ...endpoints.problems()],
      }),
    alive() {
      const silence = now() - (reconciler.status().lastPassAt ?? startedAt)
      return silence > stuckSeconds ? [`no reconcile pass for ${Math.round(silence)} s`] : []
    },
    summary: () => ({ address, tunnel: prober.state(), reconcile: reconciler.status() }),
    carries: () => prober.state() === 'up',
    draining: () => drain.active(),
    exitAddress: () => exitAddress.current(),
    device: () => device.read(),
    implementation,
    file: () => tunnel.file(),
    fileProblems: () => tunnel.problems(),
    tunnel: async () =>
      tunnelStatus({
        ...probed(),
        tunnel: tunnel.current(),
        mtu: tunnelMtu(system, tunnel.current()),
        implementation,
        file: tunnel.file(),
        files: tunnel.files(),
        fileProblems: tunnel.problems(),
        device: await device.read(),
        exit: exitAddress.current(),
        now: now(),
      }),
    // Whoever asks over HTTP must not be able to start a process each time.
    forwards: shared(() => forwardStatus(runner, system, forwarding)),
  }
}

/** A forward with what went through it towards the service since its rules were made. */
export interface ForwardStatus extends ForwardRecord {
  packets: number
  bytes: number
}

/** Forwards with the counters of their chains in the filter table; a leased one's are those of each port that it has. */
async function forwardStatus(
  runner: Runner,
  system: System,
  forwarding: Pick<Forwarding, 'world' | 'records'>,
): Promise<ForwardStatus[]> {
  const records = forwarding.records()
  if (records.length === 0) return []
  const counters = new Map(
    (await listRuleCounters(runner, 4, 'filter')).map((counter) => [counter.chain, counter] as const),
  )
  const ports = portForwards(system, forwarding.world().leased)
  return records.map((record) => {
    const counted = ports
      .filter(({ name, protocol }) => name === record.name && protocol === record.protocol)
      .map((port) => counters.get(forwardChain(port)))
    const sum = (what: 'packets' | 'bytes') => counted.reduce((total, counter) => total + (counter?.[what] ?? 0), 0)
    return { ...record, packets: sum('packets'), bytes: sum('bytes') }
  })
}

/** What /v1/tunnel answers; public keys only. */
export interface TunnelStatus {
  interface: string
  implementation: Implementation
  /** Name of the tunnel file in use, and of all that take turns. */
  file: string
  files: readonly string[]
  /** What is wrong with them as they are now, one line each: then what they held before is in use. */
  fileProblems: readonly string[]
  state: TunnelState
  publicKey: string
  addresses: string[]
  mtu: number
  /** Public address that traffic leaves with, as a service beyond the tunnel saw it; absent while unknown. */
  exitAddress?: string
  /** Unix seconds of the service's latest answer. */
  exitAddressAt?: number
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
  implementation: Implementation
  file: string
  files: readonly string[]
  fileProblems: readonly string[]
  state: TunnelState
  health: Health
  silence: number | undefined
  device: WireguardDevice | undefined
  exit: ExitAddress | undefined
  /** Unix seconds. */
  now: number
}): TunnelStatus {
  const { tunnel, mtu, implementation, file, files, fileProblems, state, health, silence, device, exit, now } = input
  return {
    interface: tunnelLink,
    implementation,
    file,
    files: [...files],
    fileProblems: [...fileProblems],
    state,
    publicKey: tunnel.publicKey,
    addresses: tunnel.addresses4,
    mtu,
    ...(exit === undefined ? {} : { exitAddress: exit.address, exitAddressAt: Math.floor(exit.at) }),
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
