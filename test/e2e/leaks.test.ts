/** The leak suite: in each of its cases clients send all that may leak, and none of it is seen outside a tunnel. */
import { beforeAll, expect, test } from 'vitest'
import { takeDown } from '@vpn-gateway/lab'
import { hearLeaks, type ToldLeaks } from './told.ts'

let story: ToldLeaks

/** Milliseconds; where the kernel is a program of the machine, the cases take more than an hour. */
const within = 7_200_000

beforeAll(async () => {
  story = await hearLeaks()
  return takeDown
}, within)

const some = expect.toSatisfy((packets: number) => packets > 0, 'more than none') as number

test.each([
  'before-agents',
  'start-nodes-gateways-routers',
  'no-gateway',
  'gateway-replaced',
  'start-nodes-routers-gateways',
  'start-gateways-nodes-routers',
  'start-gateways-routers-nodes',
  'start-routers-nodes-gateways',
  'start-routers-gateways-nodes',
  'tunnel-down',
  'endpoint-rotates',
  'tunnel-link-down',
  'tunnel-link-deleted',
  'gateway-agent-killed',
  'gateway-agents-restart',
  'gateway-agents-told-to-end',
  'tunnel-file-changes',
  'system-changes',
  'port-lease-changes',
  'router-cut',
  'router-killed',
  'router-frozen',
  'router-restarted',
  'router-replaced',
  'router-daemons-killed',
  'router-daemons-stopped',
  'router-network-cut',
  'gateway-network-cut',
  'node-cut',
  'gateway-filters-flushed',
  'gateway-routing-flushed',
  'router-filters-flushed',
  'router-routing-flushed',
  'conntrack-full',
  'own-addresses',
  'private-destinations',
  'fragments',
  'late-replies',
  'ipv6',
])('%s: nothing leaks, and captures would have seen it', (name) => {
  expect(story.case(name)).toMatchObject({
    sent: { tcp: some, udp: some, icmp: some, dns: some, ipv6: some },
    leaked_packets: 0,
    control: { pods: some, underlay: some, internet: some },
  })
})

test.each([
  'gateway-filters-flushed',
  'gateway-routing-flushed',
  'router-filters-flushed',
  'router-routing-flushed',
  'tunnel-link-down',
  'tunnel-link-deleted',
  'gateway-agent-killed',
])('%s: it is repaired', (name) => {
  // How long it takes is measured; a repair of minutes is none.
  expect(story.case(name).closed_ms).toBeLessThan(120_000)
})

test('every promise that is not about time held', () => {
  expect(story.broken).toEqual([])
})
