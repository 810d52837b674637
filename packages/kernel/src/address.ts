import type { Runner } from './command.ts'
import { readItems } from './json.ts'
import type { Address } from './state.ts'

interface RawAddress {
  ifname: string
  addr_info?: {
    family: string
    local: string
    address?: string
    prefixlen: number
    valid_life_time?: number
  }[]
}

/** INFINITY_LIFE_TIME of the kernel's address code. */
const forever = 4294967295

/** All addresses of this network namespace, from `ip -json address` (ip-address(8)). */
export async function listAddresses(runner: Runner): Promise<Address[]> {
  return parseAddresses(await runner.run({ argv: ['ip', '-json', 'address', 'show'] }))
}

/** Parses what `ip -json address show` prints. */
export function parseAddresses(text: string): Address[] {
  return readItems<RawAddress, Address>('ip address', text, (link) =>
    (link.addr_info ?? []).map((raw) => {
      const address: Address = {
        dev: link.ifname,
        address: `${raw.local}/${raw.prefixlen}`,
        family: raw.family === 'inet6' ? 6 : 4,
      }
      if (raw.valid_life_time !== undefined && raw.valid_life_time !== forever) {
        address.validLifetime = raw.valid_life_time
      }
      return address
    }),
  )
}
