/** What the agent would have the kernel hold on this machine, for whoever only wants to know. */
import type { System } from '@vpn-gateway/config'
import type { DesiredState, Owner, Runner } from '@vpn-gateway/kernel'
import { desired, ownerOf } from './desired.ts'
import { createDeviceReader } from './device.ts'
import { createEndpoints, knownEndpoints } from './endpoint.ts'
import { writtenAddress } from './forward-hook.ts'
import { leasesHeld } from './forward-record.ts'
import { leaseWishes } from './forward.ts'
import { findImplementation } from './implementation.ts'
import { openTunnelFiles } from './tunnel-source.ts'
import { ownAddress, worldOf } from './world.ts'

/**
 * Desired state and ownership, and what was not asked for, one line each. Endpoints that are host names have the addresses
 * that the kernel knows of them; leased ports are those of `forwardsFile`, which need not be there.
 */
export async function intent(
  runner: Runner,
  system: System,
  options: { interface: string; primary: string; tunnel: string; forwardsFile: string },
): Promise<{ desired: DesiredState; owner: Owner; notices: string[] }> {
  const device = await createDeviceReader(runner).read()
  const source = await openTunnelFiles(options.tunnel, device)
  await ownAddress(runner, system, options)
  const implementation = await findImplementation(runner)
  const endpoints = createEndpoints({
    peers: () => source.current().peers,
    known: knownEndpoints(device),
    onChange: () => undefined,
    log: { info: () => undefined, warn: () => undefined },
  })
  const { address, port } = writtenAddress(system.gateway.forwardsHook)
  const world = await worldOf({ ...options, listen: '0.0.0.0:9801' }, implementation, endpoints.current(), {
    leased: await leasesHeld(options.forwardsFile, leaseWishes(system)),
    ...(address === undefined || port === undefined ? {} : { hook: { address, port } }),
  })
  const notices =
    port === undefined || address !== undefined
      ? []
      : ['gateway.forwardsHook: its name is not asked for: the rule that lets calls out to it is left out']
  return { desired: desired(system, source.current(), world), owner: ownerOf(system, options), notices }
}
