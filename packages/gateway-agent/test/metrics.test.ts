import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createGatewayMetrics } from '../src/metrics.ts'

test('one scrape shows what is there at that moment, under the names of the WireGuard exporters', async () => {
  const registry = new Registry()
  let readings = 0
  let peers = [{ publicKey: 'a=', allowedIps: [], latestHandshake: 1700000000, received: 5, sent: 7 }]
  const metrics = createGatewayMetrics(registry, {
    device: () => {
      readings += 1
      return Promise.resolve({ name: 'wg0', listenPort: 1, peers })
    },
    forwards: () =>
      Promise.resolve([
        {
          name: 'web',
          protocol: 'tcp',
          port: 45678,
          to: { address: '10.96.0.100', port: 8080 },
          packets: 3,
          bytes: 180,
        },
      ]),
    carries: () => true,
    draining: () => false,
  })
  metrics.probe({ target: '192.0.2.1:443', at: 1, latency: 0.02 })
  metrics.probe({ target: '192.0.2.1:443', at: 2, failure: 'ECONNREFUSED' })
  const lines = (await registry.metrics()).split('\n')
  expect(lines).toEqual(
    expect.arrayContaining([
      'wireguard_latest_handshake_seconds{interface="wg0",public_key="a="} 1700000000',
      'wireguard_sent_bytes_total{interface="wg0",public_key="a="} 7',
      'wireguard_received_bytes_total{interface="wg0",public_key="a="} 5',
      'vpn_gateway_forward_packets_total{name="web",protocol="tcp",port="45678"} 3',
      'vpn_gateway_forward_bytes_total{name="web",protocol="tcp",port="45678"} 180',
      'vpn_gateway_tunnel_up 1',
      'vpn_gateway_draining 0',
      'vpn_gateway_tunnel_probes_total{target="192.0.2.1:443",result="answered"} 1',
      'vpn_gateway_tunnel_probes_total{target="192.0.2.1:443",result="failed"} 1',
      'vpn_gateway_tunnel_probe_duration_seconds_count 1',
    ]),
  )
  expect(readings).toBe(1)
  peers = []
  expect(await registry.metrics()).not.toContain('public_key="a="')
})
