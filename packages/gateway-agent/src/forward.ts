/** What comes in through the tunnel and goes to a service: the ports that are fixed, and those that are leased. */
import { tunnelPort, type System } from '@vpn-gateway/config'
import type { LeaseWish } from './lease-server.ts'
import type { LeasedPort } from './leases.ts'

/** One forward of the system file, for one protocol. */
export interface ForwardTarget {
  name: string
  protocol: 'tcp' | 'udp'
  to: { address: string; port: number }
}

/** One port and protocol of packets that come out of the tunnel, and where they go. */
export interface PortForward extends ForwardTarget {
  port: number
}

type Leased = Pick<LeasedPort, 'name' | 'protocol' | 'internalPort' | 'externalPort' | 'formerPorts'>

function targets(system: System): (ForwardTarget & { forward: System['forwards'][number] })[] {
  return system.forwards.flatMap((forward) => {
    const { name, protocol, to, port } = forward
    return (protocol === 'both' ? (['tcp', 'udp'] as const) : [protocol]).map((each) => ({
      forward,
      name,
      protocol: each,
      // The system's check asks for a port of the service where the exit's is leased.
      to: { address: to.address, port: to.port ?? port ?? 0 },
    }))
  })
}

/** The system's forwards, one for each protocol, with the port at the exit where that is fixed. */
export function forwardTargets(system: System): (ForwardTarget & { port?: number })[] {
  return targets(system).map(({ forward, ...target }) => ({
    ...target,
    ...(forward.port === undefined ? {} : { port: forward.port }),
  }))
}

/** The ports that have to be leased, one for each protocol. */
export function leaseWishes(system: System): LeaseWish[] {
  return targets(system).flatMap(({ forward, name, protocol }) =>
    forward.lease === undefined
      ? []
      : [
          {
            name,
            protocol,
            server: forward.lease.gateway,
            internalPort: tunnelPort(forward) ?? 0,
            lifetime: forward.lease.lifetime,
          },
        ],
  )
}

/**
 * Each port and protocol that is translated, once: what the system file says goes before what a provider chose. A leased
 * port is known by both of its numbers: servers of the standard deliver to the internal one, some providers' to the
 * external one. A former port stays until its time is over, so that a new one is there before the old one is gone.
 */
export function portForwards(system: System, leased: readonly Leased[]): PortForward[] {
  const all = targets(system)
  const of = (numbers: (lease: Leased) => readonly number[]) =>
    leased.flatMap((lease) => {
      const target = all.find(({ name, protocol }) => name === lease.name && protocol === lease.protocol)
      return target === undefined ? [] : numbers(lease).map((port) => portForward(target, port))
    })
  const fixed = all.flatMap((target) =>
    target.forward.port === undefined ? [] : [portForward(target, target.forward.port)],
  )
  const forwards = new Map<string, PortForward>()
  for (const forward of [
    ...fixed,
    ...of(({ internalPort }) => (internalPort === 0 ? [] : [internalPort])),
    ...of(({ externalPort }) => (externalPort === undefined ? [] : [externalPort])),
    ...of(({ formerPorts }) => formerPorts),
  ]) {
    const key = `${forward.protocol} ${forward.port}`
    if (!forwards.has(key)) forwards.set(key, forward)
  }
  return [...forwards.values()]
}

function portForward({ name, protocol, to }: ForwardTarget, port: number): PortForward {
  return { name, protocol, port, to }
}
