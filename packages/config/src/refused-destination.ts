import type { System } from './schema.ts'

/**
 * Destinations that no client reaches through a tunnel: what RFC 6890 lists as not globally reachable, without the
 * networks for documentation, which are nobody's.
 */
const privateDestinations = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
]

/** CIDRs that routers and gateways refuse to clients, each once: private and reserved ones, and the intranet. */
export function refusedDestinations(system: Pick<System, 'intranet'>): string[] {
  return [...new Set([...privateDestinations, ...system.intranet])]
}
