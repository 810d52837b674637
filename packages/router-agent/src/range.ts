import { BlockList } from 'node:net'

/** Tells whether an IPv4 address lies in a CIDR. */
export function inCidr(address: string, cidr: string): boolean {
  const [network = '', prefix = '32'] = cidr.split('/')
  const list = new BlockList()
  list.addSubnet(network, Number(prefix))
  return list.check(address)
}
