import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createForwardMetrics } from '../src/forward-metrics.ts'
import type { LeasedPort } from '../src/leases.ts'

test('what is held is shown while it is held; grants, failures and calls are counted', async () => {
  const registry = new Registry()
  let leased: LeasedPort[] = [
    {
      name: 'torrent',
      protocol: 'udp',
      server: '10.2.0.1',
      internalPort: 6881,
      lifetime: 60,
      externalPort: 40000,
      formerPorts: [39999],
      expiresAt: 1700000060,
    },
  ]
  const metrics = createForwardMetrics(registry, () => leased)
  const wish = { name: 'torrent', protocol: 'udp' } as const
  for (const result of ['renewed', 'renewed', 'silence']) metrics.leaseResult(wish, result)
  metrics.hookResult('delivered')
  expect((await registry.metrics()).split('\n')).toEqual(
    expect.arrayContaining([
      'vpn_gateway_forward_external_port{name="torrent",protocol="udp"} 40000',
      'vpn_gateway_forward_lease_expiry_seconds{name="torrent",protocol="udp"} 1700000060',
      'vpn_gateway_forward_lease_renewals_total{name="torrent",protocol="udp"} 2',
      'vpn_gateway_forward_lease_failures_total{name="torrent",protocol="udp",reason="silence"} 1',
      'vpn_gateway_forward_hook_calls_total{result="delivered"} 1',
    ]),
  )
  leased = leased.map(({ name, protocol, server, internalPort, lifetime }) => {
    return { name, protocol, server, internalPort, lifetime, formerPorts: [] }
  })
  expect(await registry.metrics()).not.toMatch(/^vpn_gateway_forward_(external_port|lease_expiry_seconds)\{/m)
})
