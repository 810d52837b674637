/** Everything that can happen to routers, with fewer flows than `npm run failover` has: what is lost and what leaks. */
import { beforeAll, expect, test } from 'vitest'
import { takeDown } from '@vpn-gateway/lab'
import { hear, type ToldStory } from './told.ts'

const flows = 60
let story: ToldStory

beforeAll(async () => {
  story = await hear('failover', '--flows', String(flows))
  return takeDown
}, 1_800_000)

test.each([
  'router-cut',
  'router-healed',
  'returned-takeover',
  'router-killed',
  'router-stopped',
  'router-continued',
  'vrrp-stopped',
  'agent-stopped',
  'keepalived-stopped',
  'agent-killed',
  'keepalived-killed',
  'vrrp-killed',
  'checkers-killed',
  'conntrackd-killed',
  'standby-restarted',
  'active-restarted',
  'router-network-cut',
  'router-network-healed',
  'gateway-network-cut',
  'gateway-network-healed',
  'standby-blind',
  'standby-replaced',
  'late-takeover',
  'config-changed',
  'config-restored',
  'gateway-returned',
  'gateway-drained',
])('%s: no flow is lost', (name) => {
  expect(story.event(name)).toMatchObject({ flows, lost: 0 })
})

test.each(['many-flows-cut', 'many-flows-healed'])('%s: no flow of 5,000 is lost', (name) => {
  expect(story.event(name)).toMatchObject({ flows: 5000, lost: 0 })
})

test('without any gateway all flows end, and come back with the gateways', () => {
  expect(story.event('all-gateways-gone')).toMatchObject({ flows, lost: flows })
  expect(story.event('all-gateways-back')).toMatchObject({ flows, lost: 0 })
})

test('not one packet left outside a tunnel, at any time', () => {
  expect(story.result.events.map((event) => event.leaked_packets)).toEqual(story.result.events.map(() => 0))
})

test('every promise that is not about time held', () => {
  expect(story.broken).toEqual([])
})
