/** The demo's story with fewer flows: the promises, each as a test of its own, on one lab. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { DemoEvent, DemoResult, Message } from '@vpn-gateway/demo'
import { takeDown } from '@vpn-gateway/lab'

const flows = 90
const root = join(import.meta.dirname, '../..')
let result: DemoResult
let said: string[] = []

function eventOf(name: DemoEvent['event']): DemoEvent {
  const event = result.events.find((item) => item.event === name)
  if (event === undefined) throw new Error(`the story ended before ${name}:\n${said.join('\n')}`)
  return event
}

/** Broken promises as the story told them, for the report. */
const broken = () => said.filter((line) => line.startsWith('✘'))

beforeAll(async () => {
  const story = spawn(process.execPath, [join(root, 'dist/lab-demo.mjs'), '--flows', String(flows)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  story.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(story, 'close')
  const messages = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Message)
  said = messages.flatMap((message) => {
    if (message.type === 'chapter') return [`# ${message.title}`]
    if (message.type === 'line') return [message.text]
    return message.type === 'promise' ? [`${message.held ? '✔' : '✘'} ${message.text}`] : []
  })
  process.stdout.write(`${said.join('\n')}\n`)
  const last = messages.at(-1)
  if (last?.type !== 'result') throw new Error(`the story ended without a result:\n${said.join('\n')}`)
  result = last.result
  return takeDown
}, 600_000)

describe('with flows running over three gateways', () => {
  test('they spread evenly over the exits', () => {
    expect(eventOf('spread')).toMatchObject({ flows, lost: 0 })
    expect(Object.keys(result.spread).toSorted()).toEqual(['203.0.113.21', '203.0.113.22', '203.0.113.23'])
    for (const count of Object.values(result.spread))
      expect(Math.abs(count - flows / 3)).toBeLessThanOrEqual(flows / 30)
  })

  test('a killed gateway takes its own flows with it and no other', () => {
    const share = result.spread['203.0.113.22'] ?? 0
    expect(eventOf('gateway-killed')).toMatchObject({ flows, lost: share })
  })

  test.each(['gateway-returned', 'gateway-drained', 'router-cut', 'router-returned'] as const)(
    '%s: no flow is lost',
    (name) => {
      expect(eventOf(name)).toMatchObject({ flows, lost: 0 })
    },
  )

  test('an inbound connection reaches the service through every exit', () => {
    expect(eventOf('ingress')).toMatchObject({ flows: 3, lost: 0 })
  })

  test('not one packet left outside a tunnel, at any time', () => {
    expect(result.events.map((event) => event.leaked_packets)).toEqual(result.events.map(() => 0))
  })

  test('every promise held', () => {
    expect(broken()).toEqual([])
    expect(result.ok).toBe(true)
  })
})
