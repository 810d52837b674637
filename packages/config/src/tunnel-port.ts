import type { Forward } from './schema.ts'

/**
 * Port that a forward's packets have at the gateway's end of the tunnel: the exit's where it is fixed, the one that a lease
 * is asked to map to otherwise; 0 where the provider picks it, undefined where the file does not say enough.
 */
export function tunnelPort({ port, lease, to }: Forward): number | undefined {
  return lease === undefined ? port : (lease.internalPort ?? to.port)
}
