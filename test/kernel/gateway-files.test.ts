/**
 * Tunnel files through the real wg(8) into the kernel and back: those that providers write, and damaged ones that are valid
 * still. What the kernel then holds is what the parser made of the file. The parser's own tests have the invalid ones.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRunner, parseWireguardDump, renderWireguardConfig, type WireguardSpec } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UserError } from '../../packages/config/src/errors.ts'
import { parseTunnelFile } from '../../packages/gateway-agent/src/tunnel-file.ts'
import { sampleFiles } from '../../packages/gateway-agent/test/damaged-file.ts'
import { comparable, specOf } from '../../packages/gateway-agent/test/tunnel-spec.ts'

const namespace = 'gf-files'
const host = createRunner()
const inside = (argv: readonly string[], timeoutMs = 30_000) =>
  host.run({ argv: ['ip', 'netns', 'exec', namespace, ...argv], timeoutMs })
let directory = ''

/** Another one each time; the seed is said, so that a failure can be had again. */
const seed = Date.now() % 2 ** 31

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-files-'))
  await host.run({ argv: ['ip', 'netns', 'add', namespace] })
  await inside(['ip', 'link', 'add', 'wg0', 'type', 'wireguard'])
})

afterAll(async () => {
  await host.run({ argv: ['ip', 'netns', 'del', namespace] })
  await rm(directory, { recursive: true, force: true })
})

/** What the agent would have the kernel hold; undefined for a file that it refuses. */
function readSpec(text: string): WireguardSpec | undefined {
  try {
    return specOf(parseTunnelFile(text, 'wg.conf'), 'wg0')
  } catch (error) {
    if (error instanceof UserError) return undefined
    throw error
  }
}

test.each(['whole', 'damaged'] as const)('%s files: the kernel holds what was read', async (kind) => {
  const specs = sampleFiles(100, seed)[kind].flatMap((text) => readSpec(text) ?? [])
  // Most damage makes a file invalid, and not all of it.
  expect(specs.length).toBeGreaterThan(kind === 'whole' ? 99 : 5)
  await Promise.all(
    specs.map((spec, index) => writeFile(join(directory, `${index}`), renderWireguardConfig(spec), { mode: 0o600 })),
  )
  const each = 'echo ==; wg setconf wg0 "$0/$n"; wg show wg0 dump'
  const text = await inside(
    ['bash', '-e', '-c', `for ((n = 0; n < ${specs.length}; n++)); do ${each}; done`, directory],
    110_000,
  )
  const held = text.split('==\n').slice(1)
  expect(held).toHaveLength(specs.length)
  specs.forEach((spec, index) => {
    const device = parseWireguardDump(held[index] ?? '', 'wg0')
    expect([seed, index, comparable(device)]).toEqual([
      seed,
      index,
      comparable({ ...spec, listenPort: spec.listenPort ?? device.listenPort }),
    ])
  })
})
