import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createLog } from '@vpn-gateway/runtime'
import { rangeTest } from '../src/range.ts'
import { createSystemWatch, fixedChanges } from '../src/system-watch.ts'
import { exampleRouter } from './router.ts'

test('a running router takes over all but what says who it is', () => {
  const { system } = exampleRouter()
  expect(fixedChanges(system, { ...system, intranet: ['172.16.0.0/12'] })).toEqual([])
  expect(fixedChanges(system, { ...system, router: { ...system.router, scheduler: 'mh' } })).toEqual([])
  expect(
    fixedChanges(system, {
      ...system,
      gatewayNetwork: { ...system.gatewayNetwork, vip: '192.168.50.1' },
      router: { ...system.router, virtualRouterId: 7 },
    }),
  ).toEqual(['gatewayNetwork.vip', 'router.virtualRouterId'])
})

test('a range holds its ends and nothing beyond', () => {
  const holds = rangeTest('192.168.50.9 - 192.168.50.12')
  expect(['192.168.50.8', '192.168.50.9', '192.168.50.12', '192.168.50.13'].map(holds)).toEqual([
    false,
    true,
    true,
    false,
  ])
})

test('what a daemon did not take is tried again, until it does', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'system-watch-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const path = join(directory, 'vpn-gateway.yaml')
  const published = await readFile(new URL('../../../deploy/vpn-gateway.yaml', import.meta.url), 'utf8')
  await writeFile(path, published.replace('scheduler: wlc', 'scheduler: mh'))
  const router = exampleRouter()
  let tries = 0
  const watch = createSystemWatch({
    router,
    path,
    async apply() {
      tries += 1
      if (tries === 1) throw new Error('keepalived did not end in time')
    },
    log: createLog({ agent: 'router-agent', name: 'router-0' }, 'silent'),
  })
  onTestFinished(() => watch.stop(AbortSignal.timeout(1000)))
  await watch.start(AbortSignal.timeout(10_000))
  expect(watch.problems()).toEqual(['keepalived did not end in time'])
  expect(router.system.router.scheduler).toBe('wlc')
  await vi.waitFor(() => expect(watch.problems()).toEqual([]), { timeout: 10_000 })
  expect([tries, router.system.router.scheduler]).toEqual([2, 'mh'])
})
