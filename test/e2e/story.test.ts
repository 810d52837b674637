/** The demo's story with fewer flows: what is lost and what leaks, each as a test of its own, on one lab. */
import { beforeAll, describe, expect, test } from 'vitest'
import { takeDown } from '@vpn-gateway/lab'
import { hear, type ToldStory } from './told.ts'

const flows = 90
let story: ToldStory

beforeAll(async () => {
  story = await hear('demo', '--flows', String(flows))
  return takeDown
}, 1_500_000)

/** What `--json` promises, in the order in which it is told. */
const events = [
  'spread',
  'gateway-killed',
  'gateway-returned',
  'gateway-drained',
  'router-cut',
  'router-returned',
  'ingress',
]

test('the figures are the promised ones, event by event', () => {
  expect(Object.keys(story.result)).toEqual(['events', 'spread', 'ok'])
  expect(story.result.events.map(({ event }) => event)).toEqual(events)
  for (const { event: _, ...figures } of story.result.events) {
    expect(Object.keys(figures)).toEqual(['flows', 'lost', 'longest_silence_ms', 'leaked_packets'])
    expect(Object.values(figures).filter((value) => !Number.isFinite(value))).toEqual([])
  }
})

describe('with flows running over three gateways', () => {
  test('they spread evenly over the exits', () => {
    expect(story.event('spread')).toMatchObject({ flows, lost: 0 })
    expect(Object.keys(story.result.spread).toSorted()).toEqual(['203.0.113.21', '203.0.113.22', '203.0.113.23'])
    for (const count of Object.values(story.result.spread))
      expect(Math.abs(count - flows / 3)).toBeLessThanOrEqual(flows / 30)
  })

  test('a killed gateway takes its own flows with it and no other', () => {
    const share = story.result.spread['203.0.113.22'] ?? 0
    expect(story.event('gateway-killed')).toMatchObject({ flows, lost: share })
  })

  test.each(['gateway-returned', 'gateway-drained', 'router-cut', 'router-returned'] as const)(
    '%s: no flow is lost',
    (name) => {
      expect(story.event(name)).toMatchObject({ flows, lost: 0 })
    },
  )

  test('an inbound connection reaches the service through every exit', () => {
    expect(story.event('ingress')).toMatchObject({ flows: 3, lost: 0 })
  })

  test('not one packet left outside a tunnel, at any time', () => {
    expect(story.result.events.map((event) => event.leaked_packets)).toEqual(story.result.events.map(() => 0))
  })

  test('every promise that is not about time held', () => {
    expect(story.broken).toEqual([])
  })
})
