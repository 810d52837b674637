import { createLog } from '@vpn-gateway/runtime'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createHandover } from '../src/handover.ts'
import { createRole, type Role } from '../src/role.ts'
import { exampleRouter } from './router.ts'

describe('what becomes of flows that a router does not know', () => {
  let role: Role
  let changes = 0
  beforeEach(() => {
    vi.useFakeTimers()
    changes = 0
    role = createRole({
      router: exampleRouter(),
      wasActive: false,
      liveGateways: () => 3,
      prepared: () => true,
      yields: () => false,
      tell: async () => undefined,
      refill: async () => undefined,
      onChange: () => (changes += 1),
      log: createLog({ agent: 'router-agent', name: 'router-0' }, 'silent'),
    })
  })
  afterEach(() => void vi.useRealTimers())
  const enter = (to: 'MASTER' | 'BACKUP') => role.entered({ from: 'BACKUP', to, cause: 'start', at: 0 })

  test('an active router resets them once it has been told of all; a standby drops them', () => {
    enter('MASTER')
    vi.advanceTimersByTime(2900)
    expect(role.orphans()).toBe('drop')
    vi.advanceTimersByTime(200)
    expect([role.orphans(), changes]).toEqual(['reset', 1])
    enter('BACKUP')
    expect([role.orphans(), changes]).toEqual(['drop', 2])
  })

  test('one that hands over drops them before it does, and never resets again', async () => {
    enter('MASTER')
    vi.advanceTimersByTime(3100)
    const seen: string[] = []
    const handover = createHandover({
      role,
      applied: async () => void seen.push(role.orphans()),
    })
    await handover.stop(AbortSignal.abort())
    expect([seen, changes]).toEqual([['drop'], 2])
    enter('MASTER')
    vi.advanceTimersByTime(10_000)
    expect(role.orphans()).toBe('drop')
  })
})
