import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const program = join(import.meta.dirname, '../src/main.ts')
let directory = ''
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-demo-'))))
afterAll(() => rm(directory, { recursive: true }))

/** The demo on a machine without any program. */
function demo(...args: string[]): Promise<{ code: unknown; stderr: string }> {
  return new Promise((done) => {
    const env = { HOME: directory, PATH: '/nonexistent' }
    execFile(process.execPath, [program, ...args], { env }, (error, _, stderr) => done({ code: error?.code, stderr }))
  })
}

test('where the lab cannot be, the demo says what it needs in one line and ends with 2', async () => {
  const { code, stderr } = await demo()
  expect(code).toBe(2)
  expect(stderr).toMatch(/^demo: the lab[ '][^\n]+\n$/)
})

test('figures of the demo before do not outlive one that came to nothing', async () => {
  const file = join(directory, 'figures.json')
  await writeFile(file, '{"events":[],"spread":{},"ok":true}')
  expect((await demo('--json', file)).code).toBe(2)
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ events: [], spread: {}, ok: false })
})
