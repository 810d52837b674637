import { readFileSync } from 'node:fs'
import { containsCidr, mergeCidr, overlapCidr } from 'cidr-tools'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  addressPlan,
  addressesOf,
  healthAddress,
  networkAttachments,
  networkLinks,
  parseRange,
  parseSystem,
  type System,
} from '@vpn-gateway/config'

const file = new URL('../../../deploy/vpn-gateway.yaml', import.meta.url)
const example = readFileSync(file, 'utf8')
const system = parseSystem(example, 'system.yaml')

test('clients get routes for everything but the intranet', () => {
  expect(addressPlan(system).clientRoutes).toEqual([
    '0.0.0.0/5',
    '8.0.0.0/7',
    '11.0.0.0/8',
    '12.0.0.0/6',
    '16.0.0.0/4',
    '32.0.0.0/3',
    '64.0.0.0/2',
    '128.0.0.0/1',
  ])
})

test('a health address is link-local and has the last two octets of the gateway', () => {
  expect(healthAddress('192.168.50.248')).toBe('169.254.50.248')
  const { healthCidrs, gatewayAddresses } = addressPlan(system)
  expect(healthCidrs).toEqual(['169.254.50.248/30', '169.254.50.252/31', '169.254.50.254/32'])
  for (const gateway of gatewayAddresses) expect(containsCidr(healthCidrs, healthAddress(gateway))).toBe(true)
})

test('client routes and any intranet are everything, without overlap', () => {
  const octet = fc.integer({ min: 1, max: 223 }).filter((value) => value !== 192)
  fc.assert(
    fc.property(fc.uniqueArray(octet, { minLength: 1, maxLength: 4 }), (octets) => {
      const intranet = octets.map((value) => `${value}.0.0.0/8`)
      const { clientRoutes } = addressPlan({ ...system, intranet })
      expect(clientRoutes.some((route) => overlapCidr(route, intranet))).toBe(false)
      expect(mergeCidr([...clientRoutes, ...intranet])).toEqual(['0.0.0.0/0'])
    }),
  )
})

test('return routes cover exactly the client range, and are more specific than the network itself', () => {
  const last = fc.integer({ min: 1, max: 239 })
  fc.assert(
    fc.property(last, last, (a, b) => {
      const clients = `192.168.50.${Math.min(a, b)}-192.168.50.${Math.max(a, b)}`
      const plan = addressPlan({ ...system, gatewayNetwork: { ...system.gatewayNetwork, clients } })
      const range = addressesOf(parseRange(clients))
      expect(range.every((address) => containsCidr(plan.returnRoutes, `${address}/32`))).toBe(true)
      const size = plan.returnRoutes.reduce((sum, cidr) => sum + 2 ** (32 - Number(cidr.split('/')[1])), 0)
      expect(size).toBe(range.length)
      expect(plan.returnRoutes.every((cidr) => Number(cidr.split('/')[1]) > 24)).toBe(true)
    }),
  )
})

test('however a subnet is shared out, return routes hold every client and no VIP, router or gateway', () => {
  const hosts = (prefix: number) =>
    fc.uniqueArray(fc.integer({ min: 1, max: 2 ** (32 - prefix) - 2 }), { minLength: 7, maxLength: 7 })
  const plans = fc
    .integer({ min: 24, max: 28 })
    .chain((prefix) => fc.tuple(fc.constant(prefix), hosts(prefix), fc.shuffledSubarray([0, 1, 2], { minLength: 3 })))
  fc.assert(
    fc.property(plans, ([prefix, offsets, order]) => {
      const at = offsets.sort((a, b) => a - b).map((offset) => `192.168.50.${offset}`)
      const ranges = [`${at[0]}-${at[1]}`, `${at[3]}-${at[4]}`, `${at[5]}-${at[6]}`]
      const [clients = '', routers = '', gateways = ''] = order.map((index) => ranges[index])
      const subnet = `192.168.50.0/${prefix}`
      const vip = at[2] ?? ''
      const plan = addressPlan({
        ...system,
        gatewayNetwork: { ...system.gatewayNetwork, subnet, clients, vip, routers, gateways },
      })
      const routed = (address: string) => containsCidr(plan.returnRoutes, `${address}/32`)
      expect(addressesOf(parseRange(clients)).every(routed)).toBe(true)
      expect([vip, ...plan.routerAddresses, ...plan.gatewayAddresses].some(routed)).toBe(false)
      expect(plan.returnRoutes.every((cidr) => Number(cidr.split('/')[1]) > prefix)).toBe(true)
    }),
  )
})

test('routers get as many sync addresses as there can be routers, out of a network of any size', () => {
  const ipam = (subnet: string) => {
    const routerNetwork = { subnet, mtu: 1450, bridge: 'vpn-router', vxlan: { vni: 51 } }
    const sync = networkAttachments({ ...system, routerNetwork }).find((item) => item.metadata.name === 'router-sync')
    return (JSON.parse(sync?.spec.config ?? '{}') as { plugins: { ipam: unknown }[] }).plugins[0]?.ipam
  }
  expect(ipam('172.16.0.0/12')).toEqual({
    type: 'whereabouts',
    range: '172.16.0.0/12',
    range_start: '172.16.0.1',
    range_end: '172.16.0.7',
  })
  expect(ipam('192.168.51.0/28')).toMatchObject({ range_start: '192.168.51.1', range_end: '192.168.51.7' })
})

test('every network is a bridge and a VXLAN device with a name that the kernel takes', () => {
  expect(networkLinks(system)).toEqual([
    {
      network: 'gateway',
      bridge: 'vpn-gateway',
      bridgeMtu: 1420,
      vxlan: { name: 'vpn-gateway-x', vni: 50, port: 4789, mtu: 1420 },
    },
    {
      network: 'router',
      bridge: 'vpn-router',
      bridgeMtu: 1450,
      vxlan: { name: 'vpn-router-x', vni: 51, port: 4789, mtu: 1450 },
    },
  ])
})

test('without routers clients are sent to the gateway itself, and there are no router attachments', () => {
  const { routerNetwork: _routerNetwork, ...single } = system
  const attachments = networkAttachments(single)
  expect(attachments.map((item) => item.metadata.name)).toEqual(['client', 'gateway'])
  expect(attachments[0]?.spec.config).toContain('"gw": "192.168.50.248"')
})

test('until their agents have set their filters, gateways and routers send everything but the intranet to the VIP', () => {
  const { routerNetwork: _routerNetwork, ...single } = system
  const toVip = addressPlan(system).clientRoutes.map((dst) => ({ dst, gw: '192.168.50.240' }))
  const routesOf = (of: System) =>
    networkAttachments(of).map(({ metadata, spec: { config } }) => {
      const { plugins } = JSON.parse(config) as { plugins: { ipam: { routes?: unknown } }[] }
      return [metadata.name, plugins[0]?.ipam.routes]
    })
  expect(routesOf(system).filter(([name]) => name !== 'client')).toEqual([
    ['gateway', toVip],
    ['router', toVip],
    ['router-sync', undefined],
  ])
  expect(routesOf(single).filter(([name]) => name !== 'client')).toEqual([['gateway', toVip]])
})
