import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { repositoryRoot } from '../src/paths.ts'
import { pluginListOf } from '../src/pods/attachment.ts'
import { attachmentsOf } from '../src/pods/attachments.ts'

const attachment = (ipam: object, more: object = {}) => ({
  metadata: { name: 'client' },
  spec: {
    config: JSON.stringify({
      cniVersion: '0.4.0',
      name: 'n',
      plugins: [{ type: 'bridge', bridge: 'b', ...more, ipam: { type: 'whereabouts', ...ipam } }],
    }),
  },
})
const ipamOf = (ipam: object) => pluginListOf(attachment(ipam), '/leases').plugins[0]?.['ipam']

describe('pluginListOf', () => {
  it('puts host-local in the place of whereabouts', () => {
    const routes = [{ dst: '128.0.0.0/1', gw: '192.168.50.240' }]
    const range = { range: '192.168.50.9/24', range_start: '192.168.50.1', range_end: '192.168.50.239' }
    expect(ipamOf({ ...range, routes })).toEqual({
      type: 'host-local',
      dataDir: '/leases',
      ranges: [
        [
          {
            subnet: '192.168.50.0/24',
            rangeStart: '192.168.50.1',
            rangeEnd: '192.168.50.239',
            // Otherwise host-local would keep .1 for a gateway, and the first client would get .2.
            gateway: '192.168.50.0',
          },
        ],
      ],
      routes,
    })
  })

  it('reads the range from its own ends', () => {
    expect(ipamOf({ range: '10.0.0.5-10.0.0.9/16' })).toMatchObject({
      ranges: [[{ subnet: '10.0.0.0/16', rangeStart: '10.0.0.5', rangeEnd: '10.0.0.9' }]],
    })
  })

  it('gives a route without gw the gateway', () => {
    expect(ipamOf({ range: '10.0.0.0/24', gateway: '10.0.0.1', routes: [{ dst: '0.0.0.0/0' }] })).toMatchObject({
      routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }],
    })
  })

  it.each([
    [
      'a key that bridge does not know',
      () => pluginListOf(attachment({ range: '10.0.0.0/24' }, { mut: 1 }), '/l'),
      'mut',
    ],
    [
      'a key that whereabouts does not know',
      () => ipamOf({ range: '10.0.0.0/24', range_begin: '10.0.0.1' }),
      'range_begin',
    ],
    ['a range that is none', () => ipamOf({ range: 'all' }), 'range all'],
    [
      'a route that leads nowhere',
      () => ipamOf({ range: '10.0.0.0/24', routes: [{ dst: '0.0.0.0/0' }] }),
      'dst and gw',
    ],
    ['exclude', () => ipamOf({ range: '10.0.0.0/24', exclude: ['10.0.0.4/32'] }), 'exclude'],
  ])('refuses %s', (_, translate, said) => {
    expect(translate).toThrow(said)
    expect(translate).toThrow('network attachment client')
  })
})

describe('attachmentsOf', () => {
  it.each([
    ['deploy/base', ['client', 'gateway', 'router', 'router-sync']],
    ['deploy/overlays/single-gateway', ['client', 'gateway']],
  ])('finds a plugin list for every kind of cable in %s', async (manifests, kinds) => {
    const attachments = await attachmentsOf(join(repositoryRoot(), manifests))
    expect(Object.keys(attachments).toSorted()).toEqual(kinds)
  })
})
