import { describe, expect, test } from 'vitest'
import { afterProbe, initialHealth } from '../src/health.ts'
import { readinessOf, type ReadinessInput } from '../src/readiness.ts'
import { tunnelStatus } from '../src/status.ts'
import { parseTunnelFile } from '../src/tunnel-file.ts'
import { readFileSync } from 'node:fs'

const converged = { converged: true, passes: 1, errors: [], pending: [], driftRepaired: 0 }
const failing = afterProbe(initialHealth(0), { target: '192.0.2.1:443', at: 1, failure: 'no answer within 1 s' })
const input: ReadinessInput = {
  draining: false,
  reconcile: converged,
  state: 'up',
  health: initialHealth(0),
  silence: 0.4,
  latestHandshake: () => 990,
  now: 1000,
  problems: [],
}

describe('readiness', () => {
  test.each<[string, Partial<ReadinessInput>, ReturnType<typeof readinessOf>]>([
    ['all is well', {}, { state: 'ready', reasons: [] }],
    [
      'draining goes before all else',
      { draining: true, state: 'down' },
      { state: 'draining', reasons: ['draining: no new flows'] },
    ],
    [
      'the kernel is not as it should be',
      { reconcile: { ...converged, converged: false, errors: ['link add wg0: no'] } },
      { state: 'unready', reasons: ['link add wg0: no'] },
    ],
    [
      'no handshake: the endpoint is silent',
      {
        state: 'down',
        latestHandshake: () => 0,
        silence: undefined,
        health: failing,
        problems: ['resolving endpoint a: ENOTFOUND'],
      },
      {
        state: 'unready',
        reasons: [
          'tunnel down: no handshake with the peer yet (192.0.2.1:443: no answer within 1 s)',
          'resolving endpoint a: ENOTFOUND',
        ],
      },
    ],
    [
      'an old handshake',
      { state: 'down', latestHandshake: () => 700 },
      { state: 'unready', reasons: ['tunnel down: the last handshake was 300 s ago'] },
    ],
    [
      'a fresh handshake and nothing behind it',
      { state: 'down', silence: 4 },
      {
        state: 'unready',
        reasons: ['tunnel down: no answer through the tunnel for 4.0 s, though there was a handshake 10 s ago'],
      },
    ],
    [
      'a file that went wrong under a tunnel that works',
      { problems: ['wg.conf:3: no'] },
      { state: 'ready', reasons: [] },
    ],
  ])('%s', (_name, change, expected) => {
    expect(readinessOf({ ...input, ...change })).toEqual(expected)
  })
})

test('the tunnel status holds no secret', () => {
  const text = readFileSync(new URL('fixtures/provider.conf', import.meta.url), 'utf8')
  const tunnel = parseTunnelFile(text, 'provider.conf')
  const status = tunnelStatus({
    tunnel,
    implementation: 'kernel',
    file: 'gateway-0.conf',
    files: ['gateway-0.conf'],
    fileProblems: [],
    mtu: 1380,
    state: 'up',
    health: failing,
    silence: 1.23456,
    now: 1000,
    exit: { address: '203.0.113.7', at: 990.5 },
    device: {
      name: 'wg0',
      listenPort: 1,
      peers: [
        {
          publicKey: 'peer',
          presharedKey: 'secret',
          endpoint: '192.0.2.1:1',
          allowedIps: [],
          latestHandshake: 990,
          received: 5,
          sent: 6,
        },
      ],
    },
  })
  expect(status).toMatchObject({
    publicKey: tunnel.publicKey,
    silenceSeconds: 1.235,
    exitAddress: '203.0.113.7',
    exitAddressAt: 990,
    peers: [{ publicKey: 'peer', endpoint: '192.0.2.1:1', handshakeAgeSeconds: 10, receivedBytes: 5, sentBytes: 6 }],
  })
  expect(JSON.stringify(status)).not.toContain('secret')
  expect(JSON.stringify(status)).not.toContain(tunnel.privateKey)
})
