import { rangeText } from '@vpn-gateway/config'
import { BlockList } from 'node:net'

/** Tells whether an IPv4 address lies in a CIDR. */
export function inCidr(address: string, cidr: string): boolean {
  const [network = '', prefix = '32'] = cidr.split('/')
  const list = new BlockList()
  list.addSubnet(network, Number(prefix))
  return list.check(address)
}

/** Makes the test whether an IPv4 address lies in a range of the system file, as in `192.168.50.1-192.168.50.9`. */
export function rangeTest(range: string): (address: string) => boolean {
  const [first = '', last = ''] = rangeText(range).split('-')
  const list = new BlockList()
  list.addRange(first, last)
  return (address) => list.check(address)
}
