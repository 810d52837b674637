import { parseRange } from '@vpn-gateway/config'
import { BlockList } from 'node:net'

/** `FIRST-LAST` without blanks, as iptables' iprange match prints it; `range` is one of the system file's. */
export function rangeText(range: string): string {
  const { first, last } = parseRange(range)
  return `${first}-${last}`
}

/** Tells whether an IPv4 address is within a range of the system file, its ends included. */
export function rangeMatcher(range: string): (address: string) => boolean {
  const { first, last } = parseRange(range)
  const list = new BlockList()
  list.addRange(first, last)
  return (address) => list.check(address)
}
