/** What the agent would have the kernel hold on this machine, for whoever only wants to know. */
import type { System } from '@vpn-gateway/config'
import type { DesiredState, Owner, Runner } from '@vpn-gateway/kernel'
import { desired, ownerOf } from './desired.ts'
import { createPeerSource } from './peer-source.ts'
import { canLeaveUntracked, requireFit } from './preflight.ts'
import { createWorldReader } from './world.ts'

/** Desired state and ownership; peers that have to be asked for are left as the kernel has them. */
export async function intent(
  runner: Runner,
  system: System,
  { config, name }: { config: string; name: string },
): Promise<{ desired: DesiredState; owner: Owner }> {
  const asked = 'dns' in system.underlay.peers || 'kubernetes' in system.underlay.peers
  const log = { info: () => undefined, warn: () => undefined }
  const peers = asked
    ? undefined
    : await createPeerSource(system, { runner, api: undefined, onChange: () => undefined, log })
  const notrack = await canLeaveUntracked()
  const world = await createWorldReader(runner, system, { node: name, notrack, peers: () => peers?.current() }).read()
  requireFit(system, world, config)
  return { desired: desired(system, world), owner: ownerOf(system) }
}
