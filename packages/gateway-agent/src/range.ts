import { parseRange } from '@vpn-gateway/config'
import { BlockList } from 'node:net'

/** Tells whether an IPv4 address is within a range of the system file, its ends included. */
export function rangeMatcher(range: string): (address: string) => boolean {
  const { first, last } = parseRange(range)
  const list = new BlockList()
  list.addRange(first, last)
  return (address) => list.check(address)
}
