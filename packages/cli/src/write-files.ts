import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { UserError } from '@vpn-gateway/config'

/** What a directory cannot be written for that its user can change. */
const mistakes: Readonly<Record<string, string>> = {
  EACCES: 'not writable',
  EEXIST: 'is no directory',
  ENOENT: 'cannot be made there',
  ENOTDIR: 'is no directory',
  EPERM: 'not writable',
  EROFS: 'is on a read-only file system',
}

/** Writes text files below a directory, which is made if it is not there, and removes the `outdated` ones. */
export async function writeFiles(
  directory: string,
  files: Readonly<Record<string, string>>,
  outdated: readonly string[],
): Promise<void> {
  try {
    for (const [name, text] of Object.entries(files)) {
      const path = join(directory, name)
      await makeDirectory(dirname(path))
      await writeFile(path, text)
    }
    for (const name of outdated) await rm(join(directory, name), { force: true })
  } catch (error) {
    const mistake = mistakes[(error as NodeJS.ErrnoException).code ?? '']
    if (mistake === undefined) throw error
    throw new UserError(`--output: ${directory}: ${mistake}: expected a directory to write to`)
  }
}

/**
 * Makes a directory and those above it. Node's own recursive mkdir starts again where a parent is reported missing, for ever
 * in /proc, which reports any name as missing and takes none.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return
    const parent = dirname(path)
    if (code !== 'ENOENT' || parent === path || (await isDirectory(parent))) throw error
    await makeDirectory(parent)
    await mkdir(path)
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
