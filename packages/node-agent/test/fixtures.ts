import { parseSystem, type System } from '@vpn-gateway/config'
import type { Link } from '@vpn-gateway/kernel'
import type { World } from '../src/world.ts'

/** A valid system file with another underlay section; `mtu` is the gateway network's. */
export function systemWith({
  device = 'default-route',
  ipFamily = 4,
  peers = '{ multicast: 239.192.50.50 }',
  mtu = 1420,
  underlayMtu = 1500,
  routerMtu = 1450,
  tunnelMtu = 1420,
}: {
  device?: string
  ipFamily?: 4 | 6
  peers?: string
  mtu?: number
  underlayMtu?: number
  routerMtu?: number
  tunnelMtu?: number
} = {}): System {
  const text = `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.50.0/24
  clients: 192.168.50.1-192.168.50.239
  vip: 192.168.50.240
  routers: 192.168.50.241-192.168.50.247
  gateways: 192.168.50.248-192.168.50.254
  mtu: ${mtu}
  bridge: vpn-gateway
  vxlan: { vni: 50 }
routerNetwork:
  subnet: 192.168.51.0/24
  mtu: ${routerMtu}
  bridge: vpn-router
  vxlan: { vni: 51 }
underlay:
  device: ${device}
  ipFamily: ${ipFamily}
  mtu: ${underlayMtu}
  peers: ${peers}
tunnel: { mtu: ${tunnelMtu} }
`
  return parseSystem(text, 'system.yaml')
}

export const link = (name: string, more: Partial<Link> = {}): Link => ({
  name,
  kind: '',
  mtu: 1500,
  up: true,
  carrier: true,
  ...more,
})

export const world = (more: Partial<World> = {}): World => ({
  node: 'node-1',
  ownAddresses: ['127.0.0.1', '172.30.0.1'],
  notrack: true,
  underlay: { device: 'eth0', address: '172.30.0.1', mtu: 1500, carrier: true },
  peers: { group: '239.192.50.50' },
  links: [link('lo'), link('eth0')],
  addressed: ['lo', 'eth0'],
  ipv6: true,
  sysctls: true,
  ...more,
})
