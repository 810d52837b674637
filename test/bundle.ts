/**
 * Tests for the machine, made ready on this one. Under emulation vitest spends half a minute on resolving and
 * transforming modules; one plain ES module per test file, imported by Node itself, leaves it little to do.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Plugin, rolldown } from 'rolldown'
import vitestConfig from '../vitest.config.ts'
import { repositoryRoot } from './lab/src/paths.ts'

/** A bundled file still says of itself what its source would: tests find their fixtures and programs by it. */
const originalLocation: Plugin = {
  name: 'original-location',
  transform(code, id) {
    if (id.includes('/node_modules/') || !code.includes('import.meta.')) return null
    const located = code
      .replaceAll(/\bimport\.meta\.url\b/g, JSON.stringify(pathToFileURL(id).href))
      .replaceAll(/\bimport\.meta\.dirname\b/g, JSON.stringify(join(id, '..')))
      .replaceAll(/\bimport\.meta\.filename\b/g, JSON.stringify(id))
    // Every line stays where it was, so the map needs no change.
    return { code: located, map: null }
  },
}

/** The options of one project in vitest.config.ts. */
function projectOptions(name: string): object {
  const projects: readonly unknown[] = vitestConfig.test?.projects ?? []
  for (const project of projects as { test?: { name?: string } }[]) {
    if (project.test?.name === name) return project.test
  }
  throw new Error(`vitest.config.ts has no project ${name}`)
}

/** Names of the test files below a directory, relative to it. */
export async function listTests(directory: string): Promise<string[]> {
  const files = await readdir(join(repositoryRoot(), directory), { recursive: true }).catch(() => [])
  return files.filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules')).sort()
}

/**
 * Bundles the tests below `directory` and resolves to the directory to run vitest in, which holds them and a
 * configuration with the options of the project `name`.
 */
export async function bundleTests(name: string, directory: string): Promise<string> {
  const root = repositoryRoot()
  const target = join(root, 'dist/test', name)
  await rm(target, { recursive: true, force: true })
  await mkdir(target, { recursive: true })
  // A build for each file: what two files share must not be one instance, since one worker runs them both.
  await Promise.all(
    (await listTests(directory)).map(async (file) => {
      const entry = file.replaceAll('/', '-').replace(/\.ts$/, '')
      const bundle = await rolldown({
        input: { [entry]: join(root, directory, file) },
        platform: 'node',
        external: [/^vitest(\/|$)/],
        plugins: [originalLocation],
      })
      await bundle.write({
        dir: target,
        format: 'esm',
        entryFileNames: '[name].mjs',
        chunkFileNames: `${entry}-[hash].mjs`,
        sourcemap: true,
      })
      await bundle.close()
    }),
  )
  const options = {
    ...projectOptions(name),
    include: ['*.test.mjs'],
    experimental: { viteModuleRunner: false },
    pool: 'threads',
    isolate: false,
    fileParallelism: false,
  }
  await writeFile(
    join(target, 'vitest.config.mjs'),
    `export default ${JSON.stringify({ test: options }, undefined, 2)}\n`,
  )
  return target
}
