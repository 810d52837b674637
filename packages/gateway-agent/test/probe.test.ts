import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRunner } from '@vpn-gateway/kernel'
import { expect, test } from 'vitest'
import { parsePing, probe } from '../src/probe.ts'
import { wireguardGoLine } from '../src/wireguard-go.ts'

const options = {
  localAddress: '127.0.0.1',
  timeout: 1,
  signal: new AbortController().signal,
  runner: createRunner(),
}

test('by TCP and HTTP: an answer has a latency, a refusal and a bad status say so', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/silent') return
    response.writeHead(request.url === '/moved' ? 301 : request.url === '/broken' ? 502 : 204).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const tcp = { kind: 'tcp', address: '127.0.0.1', port } as const
  const http = (path: string) => probe({ kind: 'http', url: `http://127.0.0.1:${port}${path}` }, options)
  expect(await probe(tcp, options)).toEqual({ latency: expect.any(Number) })
  expect(await http('/')).toEqual({ latency: expect.any(Number) })
  expect(await http('/moved')).toEqual({ latency: expect.any(Number) })
  expect(await http('/broken')).toEqual({ failure: 'status 502' })
  expect(await http('/silent')).toEqual({ failure: 'no answer within 1 s' })
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  expect(await probe(tcp, options)).toEqual({ failure: 'ECONNREFUSED' })
})

test("the round trip is ping's own", () => {
  const head =
    'PING 192.0.2.1 (192.0.2.1) from 10.9.0.2 wg0: 56(84) bytes of data.\n\n--- 192.0.2.1 ping statistics ---\n'
  expect(
    parsePing(
      `${head}1 packets transmitted, 1 received, 0% packet loss, time 0ms\nrtt min/avg/max/mdev = 14.2/14.2/14.2/0.0 ms\n`,
    ),
  ).toBeCloseTo(0.0142)
  expect(parsePing(`${head}1 packets transmitted, 0 received, 100% packet loss, time 0ms\n`)).toBeUndefined()
  // No number: the histogram of the latencies refuses it.
  expect(parsePing('rtt min/avg/max/mdev = .../1/1/0 ms\n')).toBeUndefined()
})

test('of what wireguard-go says only errors are worth a line', () => {
  expect(wireguardGoLine('DEBUG: (wg0) 2026/01/01 00:00:00 UAPI listener started')?.level).toBe('debug')
  expect(wireguardGoLine('ERROR: (wg0) 2026/01/01 00:00:00 Failed to create TUN device')?.level).toBe('error')
  expect(wireguardGoLine('')).toBeUndefined()
})
