/** The agents' images, built and unpacked for the lab; built again when something that goes into them is newer. */
import { mkdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { repositoryRoot } from '../paths.ts'
import { newestChange } from './bundles.ts'
import { cacheDirectory, repositoryKey } from './cache.ts'
import type { Log } from './machine.ts'
import { ensurePackages } from './packages.ts'

/** Where this clone's images are unpacked: a directory for each agent, with `root` and `image.json`. */
export const imagesDirectory = (): string => join(cacheDirectory(), 'images', repositoryKey(repositoryRoot()))

/** Builds the images when it is needed; throws with the builder's output when that fails. */
export async function ensureImages(log: Log): Promise<void> {
  const root = repositoryRoot()
  const directory = imagesDirectory()
  const stamp = join(directory, 'built')
  const sources = ['images', 'scripts', 'dist/.built'].map((path) => join(root, path))
  const built = await stat(stamp).catch(() => undefined)
  if (built && (await newestChange(sources)) <= built.mtimeMs) return
  await ensurePackages('images', log)
  log('building the images')
  await mkdir(directory, { recursive: true })
  const began = new Date()
  const build = (...options: string[]) =>
    execa(
      'flock',
      [join(directory, 'lock'), process.execPath, join(root, 'scripts/images.ts'), '--unpack', directory, ...options],
      {
        cwd: root,
        all: true,
        reject: false,
      },
    )
  let result = await build('--tag', 'lab')
  if (result.exitCode !== 0) {
    // Versions that Debian has replaced meanwhile break a release, which must not change unseen, but no test.
    log('the locked versions are not to be had: building with newer ones')
    result = await build('--tag', 'lab', '--newer')
  }
  if (result.exitCode !== 0) throw new Error(`npm run images failed:\n${result.all}`)
  await writeFile(stamp, '')
  await utimes(stamp, began, began)
}
