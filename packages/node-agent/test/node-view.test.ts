import type { Runner } from '@vpn-gateway/kernel'
import { expect, test } from 'vitest'
import { createNodeView } from '../src/node-view.ts'
import { systemWith, world } from './fixtures.ts'

test('a program that prints what is not understood costs the look, and not the agent', async () => {
  const runner: Runner = { run: async () => 'not JSON' }
  const warned: object[] = []
  const log = { info: () => undefined, warn: (fields: object) => void warned.push(fields) }
  const view = createNodeView({ runner, system: systemWith(), world: () => world(), log })
  await view.start(AbortSignal.timeout(10_000))
  await view.stop(AbortSignal.timeout(10_000))
  expect(warned).toEqual([{ error: expect.stringMatching(/^(ip|nft) .*: printed what is not understood/) }])
  expect(view.findings()).toEqual([])
})
