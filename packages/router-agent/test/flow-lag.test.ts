import { describe, expect, test } from 'vitest'
import { addSample, createFlowLag, isBehind } from '../src/flow-lag.ts'
import type { Peer, Standing } from '../src/peers.ts'

const standby: Standing = {
  vrrp: 'BACKUP',
  holdsVip: false,
  stateSeconds: 10,
  liveGateways: 3,
  flows: 100,
  fit: true,
  yields: false,
}
const leader: Standing = { ...standby, vrrp: 'MASTER', holdsVip: true }
const peer = (standing: Standing): Peer => ({
  ...standing,
  address: '192.168.50.242',
  routerAddress: '192.168.51.2',
  heardOn: 'gateway network',
  heardAt: 0,
})

test.each<[string, boolean, Partial<Standing>, number[]]>([
  ['knows all', false, {}, [100]],
  ['knows none', true, { flows: 0 }, [100]],
  ['lacks a few that may just have ended', false, { flows: 90 }, [100]],
  ['lacks more than that', true, { flows: 88 }, [100]],
  ['lacks one of one', false, { flows: 0 }, [1]],
  ['lacks two of two', true, { flows: 0 }, [2]],
  ['lacks what is only just there', false, { flows: 10 }, [10, 100]],
  ['knows more, for what has ended', false, { flows: 300 }, [100]],
  ['sees fewer gateways, and forgot flows with them', false, { flows: 0, liveGateways: 2 }, [100]],
  ['sees none, as the active one', false, { flows: 0, liveGateways: 0 }, [100]],
  ['is no standby', false, { flows: 0, vrrp: 'FAULT' }, [100]],
])('a standby that %s lacks flows: %s', (_what, behind, change, had) => {
  const samples = had.map((flows, at) => ({ at, flows }))
  expect(
    isBehind({ ...standby, ...change }, { ...leader, liveGateways: change.liveGateways === 0 ? 0 : 3 }, samples),
  ).toBe(behind)
})

test('what was counted is forgotten once all that was on its way then has arrived', () => {
  const samples = [0, 3000, 6001].reduce<ReturnType<typeof addSample>>(
    (all, at) => addSample(all, { at, flows: at }),
    [],
  )
  expect(samples).toEqual([
    { at: 3000, flows: 3000 },
    { at: 6001, flows: 6001 },
  ])
})

describe('both sides', () => {
  test('find the same: the standby that it lacks flows, the active one which standby does', () => {
    let now = 0
    const [there, here] = [createFlowLag(() => now), createFlowLag(() => now)]
    for (now = 0; now <= 6000; now += 1500) {
      expect(here.lacks()).toBe(false)
      here.look({ ...standby, flows: 0 }, [peer(leader)])
      there.look(leader, [peer({ ...standby, flows: 0 })])
    }
    expect([here.lacks(), there.lacks(), there.isLackedBy('192.168.50.242')]).toEqual([true, false, true])
    here.look(standby, [peer(leader)])
    expect(here.lacks()).toBe(false)
  })

  test('a router that does not say how many it has is neither compared nor compared with', () => {
    let now = 0
    const lag = createFlowLag(() => now)
    for (now = 0; now <= 9000; now += 1500) {
      lag.look({ ...standby, flows: 0 }, [peer({ ...leader, flows: null })])
      expect(lag.lacks()).toBe(false)
    }
    lag.look(leader, [peer({ ...standby, flows: null })])
    expect(lag.isLackedBy('192.168.50.242')).toBe(false)
  })

  test('begin anew with another active router, and know nothing while two are', () => {
    let now = 0
    const lag = createFlowLag(() => now)
    lag.look({ ...standby, flows: 50 }, [peer({ ...leader, flows: 10 })])
    for (now = 1500; now <= 7500; now += 1500) lag.look({ ...leader, flows: 50 }, [peer({ ...standby, flows: 10 })])
    expect(lag.isLackedBy('192.168.50.242')).toBe(true)
    lag.look({ ...leader, flows: 50 }, [peer({ ...leader, flows: 10 })])
    expect(lag.isLackedBy('192.168.50.242')).toBe(false)
  })
})
