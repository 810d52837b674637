import { createLog } from '@vpn-gateway/runtime'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createHandover } from '../src/handover.ts'
import { createRole, type Role } from '../src/role.ts'
import { exampleRouter } from './router.ts'

describe('what becomes of flows that a router does not know', () => {
  let role: Role
  /** What the kernel was last told, and whether it takes it. */
  let applied: string[]
  let takes: boolean
  beforeEach(() => {
    vi.useFakeTimers()
    applied = []
    takes = true
    role = createRole({
      router: exampleRouter(),
      wasActive: false,
      liveGateways: () => 3,
      prepared: () => true,
      yields: () => false,
      tell: async () => undefined,
      refill: async () => undefined,
      async apply() {
        applied.push(role.orphans())
        return takes
      },
      log: createLog({ agent: 'router-agent', name: 'router-0' }, 'silent'),
    })
  })
  afterEach(() => void vi.useRealTimers())
  const enter = (to: 'MASTER' | 'BACKUP') => role.entered({ from: 'BACKUP', to, cause: 'start', at: 0 })

  test('an active router resets them once it has been told of all; a standby drops them', async () => {
    enter('MASTER')
    await vi.advanceTimersByTimeAsync(2900)
    expect(role.orphans()).toBe('drop')
    await vi.advanceTimersByTimeAsync(200)
    expect([role.orphans(), applied]).toEqual(['reset', ['reset']])
    enter('BACKUP')
    expect([role.orphans(), applied]).toEqual(['drop', ['reset', 'drop']])
  })

  test('a standby is not prepared while the kernel holds what it did as the active one', async () => {
    enter('MASTER')
    await vi.advanceTimersByTimeAsync(3100)
    takes = false
    enter('BACKUP')
    await vi.advanceTimersByTimeAsync(5000)
    expect(role.resetsStill()).toBe(true)
    takes = true
    await vi.advanceTimersByTimeAsync(1000)
    expect([role.resetsStill(), applied.at(-1)]).toEqual([false, 'drop'])
  })

  test('an agent that starts is not prepared before the kernel holds what it wants: another one may have been active', async () => {
    takes = false
    await role.start(AbortSignal.timeout(60_000))
    await vi.advanceTimersByTimeAsync(100)
    expect([role.resetsStill(), applied]).toEqual([true, ['drop']])
    takes = true
    await vi.advanceTimersByTimeAsync(1000)
    expect(role.resetsStill()).toBe(false)
  })

  test('one that is active again meanwhile resets', async () => {
    enter('MASTER')
    await vi.advanceTimersByTimeAsync(3100)
    takes = false
    enter('BACKUP')
    await vi.advanceTimersByTimeAsync(2000)
    enter('MASTER')
    await vi.advanceTimersByTimeAsync(3100)
    expect([role.resetsStill(), role.orphans(), applied.at(-1)]).toEqual([false, 'reset', 'reset'])
    await vi.advanceTimersByTimeAsync(10_000)
    expect(applied.at(-1)).toBe('reset')
  })

  test('one that hands over drops them before it does, and never resets again', async () => {
    enter('MASTER')
    await vi.advanceTimersByTimeAsync(3100)
    await createHandover(role).stop(AbortSignal.abort())
    expect(applied).toEqual(['reset', 'drop'])
    enter('MASTER')
    await vi.advanceTimersByTimeAsync(10_000)
    expect(role.orphans()).toBe('drop')
  })
})
