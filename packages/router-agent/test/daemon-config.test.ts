/** Rendered files: as they should read, and as the real daemons judge them. */
import type { System } from '@vpn-gateway/config'
import { createRunner, missingBinaries, type Runner } from '@vpn-gateway/kernel'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { renderConntrackd } from '../src/conntrackd.ts'
import { writeConntrackdConfig, writeKeepalivedConfig } from '../src/daemon-config.ts'
import { renderKeepalived } from '../src/keepalived.ts'
import { pathsIn } from '../src/paths.ts'
import { exampleRouter } from './router.ts'

const runner = createRunner()
const absent = await missingBinaries(['keepalived', 'conntrackd'])
let directory = ''

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'router-agent-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** keepalived's test looks for the links: a namespace of the test's own has them, as the two ends of a veth pair. */
const isolated = ['unshare', '--net', '--map-root-user', 'sh', '-c'] as const
const withLinks: Runner = {
  run: ({ argv, ...rest }) =>
    runner.run({
      ...rest,
      argv: [...isolated, 'ip link add net1 type veth peer name net2 && exec "$@"', 'sh', ...argv],
    }),
}
const permitted = await withLinks.run({ argv: ['true'] }).then(
  () => true,
  () => false,
)

const withScheduler = (scheduler: 'wlc' | 'mh' | 'sh' = 'wlc') =>
  exampleRouter({ paths: pathsIn(directory) }, (system) => ({ ...system, router: { ...system.router, scheduler } }))

test('keepalived.conf reads as recorded', async () => {
  await expect(renderKeepalived(exampleRouter())).toMatchFileSnapshot('recorded/keepalived.conf')
})

test('conntrackd.conf reads as recorded', async () => {
  await expect(renderConntrackd(exampleRouter())).toMatchFileSnapshot('recorded/conntrackd.conf')
})

test('the sync daemon is bound to no VRRP instance', () => {
  const line = renderKeepalived(exampleRouter()).match(/^\s*lvs_sync_daemon .*$/m)
  expect(line?.[0].trim()).toBe('lvs_sync_daemon net2 id 51 maxlen 200')
})

test('weights of the system file are the gateways', () => {
  const text = renderKeepalived(
    exampleRouter({}, (system) => ({ ...system, gateway: { ...system.gateway, weights: { '192.168.50.249': 300 } } })),
  )
  expect(text).toMatch(/real_server 192\.168\.50\.248 0 \{\s+weight 100\s/)
  expect(text).toMatch(/real_server 192\.168\.50\.249 0 \{\s+weight 300\s/)
})

/** As many gateways as a system may have, two of them with weights of their own. */
const withMany = () =>
  exampleRouter({ paths: pathsIn(directory) }, (system) => ({
    ...system,
    gatewayNetwork: {
      ...system.gatewayNetwork,
      subnet: '192.168.48.0/22',
      gateways: '192.168.48.1-192.168.48.250',
    },
    gateway: { ...system.gateway, weights: { '192.168.48.1': 1, '192.168.48.250': 65535 } },
  }))

const stickiness: System['router']['stickiness'] = [
  { clients: '192.168.50.1-192.168.50.9', by: 'client', seconds: 600 },
  { clients: '192.168.50.10-192.168.50.19', by: 'client-and-destination', seconds: 3600 },
]
const withStickiness = () =>
  exampleRouter({ paths: pathsIn(directory) }, (system) => ({ ...system, router: { ...system.router, stickiness } }))

test('a client that is to stay has a service that remembers it', () => {
  const text = renderKeepalived(withStickiness())
  expect(text).toMatch(/^virtual_server fwmark 65536 \{\n.*\n(.*#.*\n)*\s+persistence_timeout 600$/m)
  expect(text.match(/^ {4}fwmark \d+$/gm)).toHaveLength(16)
  expect(text).toMatch(/^virtual_server group sticky-1 \{$/m)
  expect(renderKeepalived(exampleRouter())).not.toContain('persistence')
})

describe.skipIf(absent.length > 0 || !permitted)('judged by the daemons', () => {
  test.each(['wlc', 'mh', 'sh'] as const)('keepalived takes the file with scheduler %s', async (scheduler) => {
    const path = join(directory, 'keepalived.conf')
    const text = renderKeepalived(withScheduler(scheduler))
    expect(await writeKeepalivedConfig(withLinks, path, text)).toBe(true)
    expect(await readFile(path, 'utf8')).toBe(text)
    expect(await writeKeepalivedConfig(withLinks, path, text)).toBe(false)
  })

  test.each([
    ['250 gateways', withMany, 250],
    ['stickiness', withStickiness, 21],
  ] as const)('keepalived takes the file with %s', async (_name, make, servers) => {
    const text = renderKeepalived(make())
    expect(text.match(/^ {4}real_server /gm)).toHaveLength(servers)
    expect(await writeKeepalivedConfig(withLinks, join(directory, 'other.conf'), text)).toBe(true)
  })

  test('a file that keepalived refuses does not replace the one that is there', async () => {
    const path = join(directory, 'kept.conf')
    await writeFile(path, 'as it was')
    const wrong = renderKeepalived(withScheduler()).replace('delay_before_retry', 'delay_befor_retry')
    await expect(writeKeepalivedConfig(withLinks, path, wrong)).rejects.toThrow(
      /keepalived refuses its configuration: .*Unknown keyword 'delay_befor_retry'/,
    )
    expect(await readFile(path, 'utf8')).toBe('as it was')
    expect((await readdir(directory)).filter((name) => name.endsWith('.new'))).toEqual([])
  })

  test('conntrackd takes its file, and refuses a wrong one', async () => {
    const path = join(directory, 'conntrackd.conf')
    const text = renderConntrackd(withScheduler())
    expect(await writeConntrackdConfig(withLinks, path, text)).toBe(true)
    await expect(writeConntrackdConfig(withLinks, path, text.replace('Group', 'Grop'))).rejects.toThrow(
      /conntrackd refuses its configuration: .*symbol 'Grop'/,
    )
    expect(await readFile(path, 'utf8')).toBe(text)
  })
})
