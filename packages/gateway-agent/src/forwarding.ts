/** Forwards put together: leases, the file that follows them, the hook that is told. */
import { cidrContains, type System } from '@vpn-gateway/config'
import type { Component, Log } from '@vpn-gateway/runtime'
import { resolve } from 'node:path'
import type { Registry } from 'prom-client'
import { createForwardHook } from './forward-hook.ts'
import { createForwardMetrics } from './forward-metrics.ts'
import { createForwardFile, forwardRecords, readLeases, type ForwardRecord } from './forward-record.ts'
import { forwardTargets, leaseWishes } from './forward.ts'
import { createLeases, type LeasedPort } from './leases.ts'
import type { GatewayOptions } from './options.ts'
import type { World } from './world.ts'

/** What forwards are made of. */
export interface ForwardingOptions {
  system: System
  options: Pick<GatewayOptions, 'name' | 'runDir' | 'forwardsFile'>
  /** The tunnel's address. */
  localAddress: () => string
  /** Whether the tunnel carries traffic. */
  up: () => boolean
  /** `address:port` of the peers' endpoints. */
  endpoints: () => Iterable<string>
  /** Resolves once the kernel was made to hold what `world` says now. */
  applied: () => Promise<unknown>
  registry: Registry
  log: Log
}

/** The gateway's forwards over time. */
export interface Forwarding {
  components: Component[]
  /** What the kernel's rules depend on. */
  world(): Pick<World, 'leased' | 'hook'>
  records(): ForwardRecord[]
}

/** Reads what an earlier process left, so that no rule of a lease that still holds is missing for an instant. */
export async function createForwarding(parts: ForwardingOptions): Promise<Forwarding> {
  const { system, options, applied, log } = parts
  const targets = forwardTargets(system)
  const path = resolve(options.runDir, options.forwardsFile)
  const leases = createLeases({
    ...parts,
    wishes: leaseWishes(system),
    held: await readLeases(path),
    onChange: () => void publish(),
    onResult: (wish, result) => metrics.leaseResult(wish, result),
  })
  const records = () => forwardRecords(targets, leases.current())
  const document = () => ({ gateway: options.name, forwards: records() })
  const file = createForwardFile({ path, document, log })
  let told = false
  const hook = createForwardHook({
    url: system.gateway.forwardsHook,
    message() {
      const now = document()
      // Before the first port is known there is nothing to announce; that one is lost, there is.
      told ||= now.forwards.some(({ port }) => port !== undefined)
      return told ? { body: JSON.stringify(now), about: worthTelling(now.forwards) } : undefined
    },
    allowed: (address) => !cidrContains(system.gatewayNetwork.subnet, address),
    opened: applied,
    onResult: (result) => metrics.hookResult(result),
    log,
  })
  const metrics = createForwardMetrics(parts.registry, () => leases.current())
  let ports = portsOf(leases.current())

  /** Rules first: who is told of a port may be called on it at once. */
  async function publish(): Promise<void> {
    const now = portsOf(leases.current())
    if (now !== ports) {
      ports = now
      await applied()
    }
    file.update()
    hook.update()
  }

  return {
    components: [leases, file, hook],
    world() {
      const address = hook.address()
      return { leased: leases.current(), ...(address === undefined ? {} : { hook: address }) }
    },
    records,
  }
}

/** Ports and addresses, without what changes at each renewal. */
function worthTelling(forwards: readonly ForwardRecord[]): string {
  return JSON.stringify(
    forwards.map(({ lease, ...rest }) => ({ ...rest, externalAddress: lease?.externalAddress ?? null })),
  )
}

function portsOf(leased: readonly LeasedPort[]): string {
  return JSON.stringify(leased.map(({ externalPort, formerPorts }) => [externalPort ?? 0, ...formerPorts]))
}
