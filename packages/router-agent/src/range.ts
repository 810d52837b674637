import { BlockList } from 'node:net'
import { parseRange } from '@vpn-gateway/config'

/** `FIRST-LAST` without blanks, as iptables' iprange match prints it; `range` is one of the system file's. */
export function rangeText(range: string): string {
  const { first, last } = parseRange(range)
  return `${first}-${last}`
}

/** Tells whether an IPv4 address lies in a CIDR. */
export function inCidr(address: string, cidr: string): boolean {
  const [network = '', prefix = '32'] = cidr.split('/')
  const list = new BlockList()
  list.addSubnet(network, Number(prefix))
  return list.check(address)
}
