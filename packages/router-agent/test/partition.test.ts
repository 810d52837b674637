/** Judges of two to seven routers, with as much VRRP as it takes, while the router network alone is cut. */
import { describe, expect, test } from 'vitest'
import { advertsArrive, countAdverts, holdersOf, judge, type Adverts, type Judgement } from '../src/judgement.ts'
import type { Peer } from '../src/peers.ts'

/** Milliseconds: one step, between two looks at the peers, and without adverts before a backup takes over. */
const step = 100
const lookEvery = 1500
const masterDown = 600

interface Toy {
  number: number
  state: 'MASTER' | 'BACKUP'
  since: number
  silentSince: number
  heard: number
  adverts: Adverts | undefined
  judgement: Judgement
}

const addressOf = (number: number) => `192.168.50.${241 + number}`

function peerOf(router: Toy, now: number): Peer {
  const yields = router.judgement.kind === 'yielding'
  return {
    vrrp: router.state,
    holdsVip: router.state === 'MASTER',
    stateSeconds: (now - router.since) / 1000,
    liveGateways: 3,
    flows: 12,
    fit: true,
    yields,
    address: addressOf(router.number),
    routerAddress: `192.168.51.${1 + router.number}`,
    heardOn: 'gateway network',
    heardAt: now,
  }
}

/** Routers of which the first is active; `side` says which ones hear each other's adverts. */
function simulate(count: number, side: (router: number, now: number) => number, until: number): number[][] {
  const routers = Array.from({ length: count }, (_, number): Toy => ({
    number,
    state: number === 0 ? 'MASTER' : 'BACKUP',
    since: -100_000,
    silentSince: 0,
    heard: 0,
    adverts: undefined,
    judgement: { kind: 'serving' },
  }))
  const holders: number[][] = []
  const enter = (router: Toy, state: Toy['state'], now: number) => {
    if (router.state !== state) router.since = now
    router.state = state
    router.silentSince = now
  }
  for (let now = 0; now < until; now += step) {
    for (const router of routers) {
      const senders = routers.filter(
        (other) => other !== router && other.state === 'MASTER' && side(other.number, now) === side(router.number, now),
      )
      router.heard += senders.length
      if (senders.length > 0) router.silentSince = now
      // Of two masters that hear each other the one with the lower address stays.
      if (router.state === 'MASTER' && senders.some(({ number }) => number < router.number))
        enter(router, 'BACKUP', now)
      if (router.judgement.kind === 'yielding') enter(router, 'BACKUP', now)
      else if (router.state === 'BACKUP' && now - router.silentSince >= masterDown + 10 * router.number)
        enter(router, 'MASTER', now)
    }
    // Not all at the same time, as in life.
    for (const router of routers.filter(({ number }) => (now + 200 * number) % lookEvery === 0)) {
      const peers = routers.filter((other) => other !== router).map((other) => peerOf(other, now))
      if (holdersOf(peers) !== 1) router.adverts = undefined
      const own = peerOf(router, now)
      router.judgement = judge(router.judgement, { own, peers, advertsArrive: advertsArrive(router.adverts), now })
      if (router.judgement.kind === 'yielding' && holdersOf(peers) === 1)
        router.adverts = countAdverts(router.adverts, router.heard, now)
      else router.adverts = undefined
    }
    holders.push(routers.filter(({ state }) => state === 'MASTER').map(({ number }) => number))
  }
  return holders
}

const at = (seconds: number) => (seconds * 1000) / step

describe.each([2, 3, 5, 7])('%d routers', (count) => {
  const cut = { from: 5000, to: 125_000 }
  const holders = simulate(count, (router, now) => Number(router === 0 && now >= cut.from && now < cut.to), 185_000)

  test('the active one cut off from the others: each of them tries once, then one alone serves until the cut ends', () => {
    // Four seconds of patience for each, after a takeover and a look.
    const settled = 5 + 8 * (count - 1)
    expect(holders.slice(at(settled), at(125)).every((now) => now.length === 1 && now[0] === 0)).toBe(true)
  })

  test('and when it has ended, one alone goes on', () => {
    expect(new Set(holders.slice(at(145)).map(String))).toEqual(new Set(['0']))
  })
})

test.each([2, 3, 5, 7])(
  '%d routers, split in any way: one alone serves meanwhile, and one alone when it has ended',
  (count) => {
    const cut = { from: 5000, to: 85_000 }
    for (let others = 1; others < 2 ** (count - 1); others += 1) {
      /** The active one is on side 0; a bit says on which each of the others is. */
      const side = (router: number, now: number) =>
        router > 0 && now >= cut.from && now < cut.to ? (others >> (router - 1)) & 1 : 0
      const holders = simulate(count, side, 130_000).map(String)
      const owners = [holders.slice(at(75), at(85)), holders.slice(at(110))].map((times) => [...new Set(times)])
      expect(owners).toEqual([[expect.stringMatching(/^\d$/)], [expect.stringMatching(/^\d$/)]])
    }
  },
)
