import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UserError } from '@vpn-gateway/config'
import { requireWritable } from '../src/json-file.ts'

let directory = ''
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-json-'))))
afterAll(() => rm(directory, { recursive: true }))

test('looking whether a file can be written leaves nothing behind and nothing changed', async () => {
  await requireWritable(join(directory, 'new.json'))
  expect(await readdir(directory)).toEqual([])
  await writeFile(join(directory, 'old.json'), 'kept')
  await requireWritable(join(directory, 'old.json'))
  expect(await readFile(join(directory, 'old.json'), 'utf8')).toBe('kept')
})

test.each(['.', 'no/such/figures.json'])('%j cannot be written, which is said in one line', async (name) => {
  const error: unknown = await requireWritable(join(directory, name)).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(UserError)
  expect((error as UserError).problems).toEqual([expect.stringMatching(/^--json: .*: E[A-Z]+: [^\n]*$/)])
})
