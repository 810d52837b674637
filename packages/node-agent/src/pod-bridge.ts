import type { NetworkLinks } from '@vpn-gateway/config'
import type { World } from './world.ts'

/**
 * Whether a network's bridge was made by CNI's plugin of that name, for pods that were there before the agent: it makes the
 * bridge that it does not find (ensureBridge), without a mark, and when a node starts kubelet has pods wait for nobody. Such a
 * bridge has the attachment's MTU, no address, and no ports but pods'. Pure.
 */
export function isMadeForPods(
  { bridge, bridgeMtu }: Pick<NetworkLinks, 'bridge' | 'bridgeMtu'>,
  { links, addressed }: Pick<World, 'links' | 'addressed'>,
): boolean {
  const link = links.find(({ name }) => name === bridge)
  if (link?.kind !== 'bridge' || link.alias !== undefined || link.master !== undefined) return false
  const ports = links.filter(({ master }) => master === bridge)
  return (
    link.mtu === bridgeMtu &&
    !addressed.includes(bridge) &&
    // One that nobody is plugged into may be anybody's.
    ports.length > 0 &&
    ports.every(({ kind }) => kind === 'veth')
  )
}
