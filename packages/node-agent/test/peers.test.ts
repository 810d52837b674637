/** Who is flooded to, as a name's answers and time go by. */
import { EventEmitter, once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { createDnsPeers, intervalFor, type Lookup } from '../src/dns-peers.ts'
import { isUnicast } from '../src/peer-source.ts'
import { answered, leaveAfter, membersOf, remembered } from '../src/membership.ts'

const log = { info: () => undefined, warn: () => undefined }

test('who is no longer answered stays for a while, and who is answered again stays for good', () => {
  let membership = answered(remembered([], 0), ['10.0.0.1', '10.0.0.2'], 0)
  membership = answered(membership, ['10.0.0.1'], 1000)
  expect(membersOf(membership)).toEqual(['10.0.0.1', '10.0.0.2'])
  expect(membersOf(answered(membership, ['10.0.0.1', '10.0.0.2'], 2000))).toEqual(['10.0.0.1', '10.0.0.2'])
  expect(membersOf(answered(membership, ['10.0.0.1'], 1000 + leaveAfter - 1))).toContain('10.0.0.2')
  expect(membersOf(answered(membership, ['10.0.0.1'], 1000 + leaveAfter))).toEqual(['10.0.0.1'])
})

test('peers of an earlier process are not let go at the first answer: their agents may be restarting too', () => {
  const membership = answered(remembered(['10.0.0.9'], 0), ['10.0.0.1'], 1000)
  expect(membersOf(membership)).toEqual(['10.0.0.1', '10.0.0.9'])
})

test('the more nodes ask, the less often', () => {
  expect([3, 100, 200, 1000, 5000].map(intervalFor)).toEqual([5000, 5000, 10_000, 50_000, 60_000])
})

test.each([
  ['172.30.0.2', 4, true],
  ['239.192.50.50', 4, false],
  ['2001:db8::2', 4, false],
  ['2001:db8::2', 6, true],
  ['ff05::50', 6, false],
] as const)('%s as a peer over IPv%i that an earlier process left: %s', (address, family, expected) => {
  expect(isUnicast(address, family)).toBe(expected)
})

/** A name whose answers the test gives one by one. */
function followed(...answers: (readonly string[] | Error)[]) {
  const events = new EventEmitter()
  const lookup: Lookup = async () => {
    const answer = answers.shift()
    // The last answer is followed by none.
    if (answer === undefined) return new Promise(() => undefined)
    if (answer instanceof Error) throw answer
    return [...answer]
  }
  let changes = 0
  const peers = createDnsPeers({
    host: 'node-agent.vpn-gateway.svc',
    family: 4,
    known: [],
    onChange: () => void (changes++, events.emit('change')),
    log: { ...log, warn: (fields: object) => void events.emit('warn', fields) },
    lookup,
    interval: () => 1,
  })
  onTestFinished(() => peers.stop(AbortSignal.abort()))
  return { peers, events, changes: () => changes }
}

test('not known before the first answer; a failure then is named, and what was known stays', async () => {
  const { peers, events } = followed(
    Object.assign(new Error('no'), { code: 'EAI_AGAIN' }),
    ['10.0.0.2', '10.0.0.1'],
    new Error('gone'),
  )
  expect(peers.current()).toBeUndefined()
  const failed = once(events, 'warn')
  await peers.start(new AbortController().signal)
  await failed
  expect(peers.status()).toEqual({
    source: 'dns',
    problem: 'resolving node-agent.vpn-gateway.svc: EAI_AGAIN',
    leaving: [],
  })
  expect(peers.current()).toBeUndefined()
  await once(events, 'change')
  await once(events, 'warn')
  expect(peers.current()).toEqual({ addresses: ['10.0.0.1', '10.0.0.2'] })
  expect(peers.status()).toMatchObject({ problem: 'resolving node-agent.vpn-gateway.svc: gone' })
})

test('a change is told of once, the same answer in another order not at all', async () => {
  const { peers, events, changes } = followed(
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.2', '10.0.0.1'],
    ['10.0.0.2', '10.0.0.1', '10.0.0.3'],
    new Error('end'),
  )
  const end = once(events, 'warn')
  await peers.start(new AbortController().signal)
  await end
  expect(changes()).toBe(2)
  expect(peers.current()).toEqual({ addresses: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] })
})
