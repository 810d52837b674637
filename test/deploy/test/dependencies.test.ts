/** What the workspace depends on directly, and CONTRIBUTING's table of why. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'

const read = (path: string): Promise<string> => readFile(new URL(`../../../${path}`, import.meta.url), 'utf8')

test('each direct dependency has its reason, and no other has one', async () => {
  // A package may take what it needs from the catalog only (catalogMode: strict).
  const { catalog } = parse(await read('pnpm-workspace.yaml')) as { catalog: Record<string, string> }
  const [, section = ''] = (await read('CONTRIBUTING.md')).split('\n## Dependencies\n')
  const rows = [...section.matchAll(/^\| (`.+?) \| (.+?) \|/gm)]
  const named = rows.flatMap(([, names = '']) => [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name))
  const aliased = /^npm:(.+)@/
  const direct = Object.entries(catalog).flatMap(([name, from]) => [name, ...(aliased.exec(from)?.slice(1) ?? [])])
  expect(new Set(named)).toEqual(new Set(direct))
  expect(rows.filter(([, , reason = '']) => reason.length < 10)).toEqual([])
})
