import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseBeats } from '../src/beats.ts'
import { judge, patience, type Judgement, type JudgementInput } from '../src/judgement.ts'
import { parseStanding, type Peer, type Standing } from '../src/peers.ts'

const standing: Standing = {
  vrrp: 'MASTER',
  holdsVip: true,
  stateSeconds: 100,
  liveGateways: 3,
  flows: 12,
  fit: true,
  yields: false,
}
const own = { ...standing, address: '192.168.50.241' }
const peer: Peer = {
  ...standing,
  address: '192.168.50.242',
  routerAddress: '192.168.51.2',
  heardOn: 'gateway network',
  heardAt: 0,
}
const backup: Peer = { ...peer, vrrp: 'BACKUP', holdsVip: false }

/** Judges again and again while nothing changes; the clock starts at 0. */
function after(
  milliseconds: number,
  input: Omit<JudgementInput, 'now'>,
  from: Judgement = { kind: 'serving' },
): Judgement {
  let judgement = from
  for (let now = 0; now <= milliseconds; now += 100) judgement = judge(judgement, { ...input, now })
  return judgement
}
const kindAfter = (...args: Parameters<typeof after>) => after(...args).kind

describe('a router that serves', () => {
  test.each<[string, Peer[]]>([
    ['nobody else is there', []],
    ['another one is a backup that sees the same', [backup]],
    ['another one is a backup that sees less', [{ ...backup, liveGateways: 2 }]],
    ['another one is worth more, but steps back itself', [{ ...backup, liveGateways: 4, yields: true }]],
    ['another one holds the VIP, but for a shorter time', [{ ...peer, stateSeconds: 3 }]],
    ['another one still has the VIP of before', [{ ...backup, holdsVip: true, stateSeconds: 200 }]],
  ])('goes on when %s', (_what, peers) => {
    expect(kindAfter(60_000, { own, peers, advertsArrive: false })).toBe('serving')
  })

  test.each<[string, Partial<Standing>, Peer, number]>([
    ['has held the VIP for a shorter time', { stateSeconds: 3 }, peer, patience['another router holds the VIP too']],
    ['sees no gateway', { liveGateways: 0 }, backup, patience['no gateway is reached, by another router some are']],
    ['sees fewer gateways', { liveGateways: 2 }, backup, patience['another router is worth more']],
    ['does not replicate', { fit: false }, backup, patience['another router is worth more']],
  ])('steps back when it %s, not before it has lasted', (_what, mine, theirs, wait) => {
    const input = { own: { ...own, ...mine }, peers: [theirs], advertsArrive: false }
    expect(kindAfter(wait - 100, input)).toBe('doubting')
    expect(kindAfter(wait, input)).toBe('yielding')
  })

  test('forgets a doubt that has passed', () => {
    const doubtful = { own: { ...own, liveGateways: 2 }, peers: [backup], advertsArrive: false }
    const before = after(patience['another router is worth more'] - 100, doubtful)
    const calm = judge(before, { own, peers: [backup], advertsArrive: false, now: 10_000 })
    expect(calm).toEqual({ kind: 'serving' })
  })

  test('a backup has nothing to give up', () => {
    const input = { own: { ...own, vrrp: 'BACKUP' as const, holdsVip: false, liveGateways: 0 }, peers: [peer] }
    expect(kindAfter(60_000, { ...input, advertsArrive: true })).toBe('serving')
  })
})

describe('a router that has stepped back', () => {
  const yielding: Judgement = { kind: 'yielding', reason: 'another router holds the VIP too', since: 0 }
  const faulty = { ...own, vrrp: 'FAULT' as const, holdsVip: false }

  test('stays so while another one holds the VIP and cannot be heard by VRRP', () => {
    expect(kindAfter(600_000, { own: faulty, peers: [peer], advertsArrive: false }, yielding)).toBe('yielding')
  })
  test('is a backup again once adverts arrive', () => {
    expect(kindAfter(0, { own: faulty, peers: [peer], advertsArrive: true }, yielding)).toBe('serving')
  })
  test('is needed again when nobody holds the VIP for a while', () => {
    const alone = { own: faulty, peers: [], advertsArrive: false }
    expect(kindAfter(2900, alone, yielding)).toBe('yielding')
    expect(kindAfter(3000, alone, yielding)).toBe('serving')
  })
})

test('of two that are both active one steps back and one stays, whoever they are', () => {
  const someone = fc.record({
    liveGateways: fc.integer({ min: 0, max: 3 }),
    fit: fc.boolean(),
    // Apart by more than the tolerance, or at the same moment.
    stateSeconds: fc.integer({ min: 0, max: 30 }).map((tens) => tens * 10),
  })
  fc.assert(
    fc.property(someone, someone, (a, b) => {
      const [one, other] = ['192.168.50.241', '192.168.50.242'].map((address, index) => ({
        ...peer,
        ...(index === 0 ? a : b),
        address,
      })) as [Peer, Peer]
      const verdicts = [
        kindAfter(5000, { own: one, peers: [other], advertsArrive: false }),
        kindAfter(5000, { own: other, peers: [one], advertsArrive: false }),
      ]
      expect(verdicts.toSorted()).toEqual(['serving', 'yielding'])
    }),
  )
})

describe('what another router says', () => {
  const said = {
    state: 'BACKUP',
    holdsVip: false,
    stateSeconds: 2.5,
    liveGateways: 3,
    flows: 12,
    fit: true,
    yields: null,
  }
  const whole = { ...said, routerAddress: '192.168.51.2', told: { '192.168.50.241': 4 } }
  test('is read', () => {
    expect(parseStanding(JSON.stringify(whole), 'router network', '192.168.50.241')).toEqual({
      vrrp: 'BACKUP',
      holdsVip: false,
      stateSeconds: 2.5,
      liveGateways: 3,
      flows: 12,
      fit: true,
      yields: false,
      routerAddress: '192.168.51.2',
      heardOn: 'router network',
      toldSeconds: 4,
    })
    const other = parseStanding(JSON.stringify(whole), 'router network', '192.168.50.243')
    expect(other).not.toHaveProperty('toldSeconds')
  })
  test('counts without its flows, which one of an older version does not tell', () => {
    const { flows, ...older } = whole
    expect(flows).toBe(12)
    expect(parseStanding(JSON.stringify(older), 'router network', '192.168.50.241')).toMatchObject({ flows: null })
  })
  test.each([
    { routerAddress: 'a\r\nb' },
    { routerAddress: 'name.example' },
    { routerAddress: '::1' },
    { liveGateways: -1 },
    { liveGateways: 1.5 },
    { flows: -1 },
  ])('counts for nothing with %j, which would be asked or counted on', (change) => {
    const text = JSON.stringify({ ...whole, ...change })
    expect(parseStanding(text, 'router network', '192.168.50.241')).toBeUndefined()
  })
  test('counts for nothing when it is anything else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.constant(JSON.stringify(said))), (text) => {
        expect(parseStanding(text, 'gateway network', '192.168.50.241')).toBeUndefined()
      }),
    )
  })
})

test.each([
  ['Name:\tkeepalived\nState:\tS (sleeping)\nPid:\t12\nvoluntary_ctxt_switches:\t345\n', '12 345'],
  ['Name:\tkeepalived\nState:\tZ (zombie)\nPid:\t12\nvoluntary_ctxt_switches:\t345\n', ''],
  ['', ''],
])('signs of life in %j', (text, beats) => {
  expect(parseBeats(text)).toBe(beats)
})
