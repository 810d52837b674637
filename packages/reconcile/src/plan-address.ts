import type { DesiredState, ObservedState } from '@vpn-gateway/kernel'
import type { Step } from './step.ts'

/**
 * Addresses. The kernel keeps no mark of who set one, so only those on the owner's own links are ever deleted, and
 * link-local IPv6 ones, which the kernel sets, never.
 */
export function planAddresses(
  desired: DesiredState['addresses'],
  observed: ObservedState,
  ownLinks: ReadonlySet<string>,
): { add: Step[]; del: Step[] } {
  if (desired === undefined) return { add: [], del: [] }
  const key = (item: { dev: string; address: string }) => `${item.dev} ${item.address}`
  const held = new Set(observed.addresses.map(key))
  const wanted = new Set(desired.map(key))
  return {
    add: desired
      .filter((item) => !held.has(key(item)))
      .map(({ dev, address }) => ({ object: 'address', action: 'add', dev, address })),
    del: observed.addresses
      .filter((item) => ownLinks.has(item.dev) && !wanted.has(key(item)) && !item.address.startsWith('fe80:'))
      .map(({ dev, address }) => ({ object: 'address', action: 'del', dev, address })),
  }
}
