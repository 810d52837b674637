import { readConntrackCount } from '@vpn-gateway/kernel'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import type { ExitAddress } from '../src/exit-address.ts'
import { createGatewayMetrics } from '../src/metrics.ts'

test('one scrape shows what is there at that moment, under the names of the WireGuard exporters', async () => {
  const registry = new Registry()
  let readings = 0
  let exit: ExitAddress | undefined = { address: '203.0.113.7', at: 990 }
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
    exitAddress: () => exit,
    implementation: 'kernel',
    file: () => 'gateway-0.1.conf',
    fileProblems: () => ['gateway-0.conf:2: PrivateKey: expected 32 bytes in base64 (44 characters)'],
  })
  metrics.probe({ target: '192.0.2.1:443', at: 1, latency: 0.02 })
  metrics.probe({ target: '192.0.2.1:443', at: 2, failure: 'ECONNREFUSED' })
  metrics.recovery({ kind: 'handshake' })
  metrics.recovery({ kind: 'rotate', reason: 'no-internet' })
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
      'vpn_gateway_exit_info{address="203.0.113.7"} 1',
      'vpn_gateway_tunnel_probes_total{target="192.0.2.1:443",result="answered"} 1',
      'vpn_gateway_tunnel_probes_total{target="192.0.2.1:443",result="failed"} 1',
      'vpn_gateway_tunnel_probe_duration_seconds_count 1',
      'vpn_gateway_tunnel_info{implementation="kernel",file="gateway-0.1.conf"} 1',
      'vpn_gateway_tunnel_file_problems 1',
      'vpn_gateway_tunnel_recoveries_total{action="handshake"} 1',
      'vpn_gateway_tunnel_recoveries_total{action="rotate"} 1',
      'vpn_gateway_tunnel_rotations_total{reason="no-internet"} 1',
      'vpn_gateway_tunnel_rotations_total{reason="no-handshake"} 0',
    ]),
  )
  expect(readings).toBe(1)
  peers = []
  exit = undefined
  const later = await registry.metrics()
  expect(later).not.toContain('public_key="a="')
  expect(later).not.toContain('203.0.113.7')
})

test('use of the conntrack table is what the kernel says, or absent where it has none', async () => {
  const registry = new Registry()
  createGatewayMetrics(registry, {
    device: () => Promise.resolve(undefined),
    forwards: () => Promise.resolve([]),
    carries: () => false,
    draining: () => false,
    exitAddress: () => undefined,
    implementation: 'kernel',
    file: () => 'gateway-0.conf',
    fileProblems: () => [],
  })
  const count = await readConntrackCount()
  const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('nf_conntrack_'))
  // Connections come and go between the two readings.
  expect(lines.map((line) => line.replace(/^(nf_conntrack_entries) \d+$/, '$1'))).toEqual(
    count === undefined ? [] : ['nf_conntrack_entries', `nf_conntrack_entries_limit ${count.limit}`],
  )
})
