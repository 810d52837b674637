/** Files that the command line names, above all that of `--json`. */
import { access, constants, open, rm, stat, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { UserError } from '@vpn-gateway/config'
import type { LeakResult, StoryResult } from './message.ts'

/** Absolute path of one that the user typed: relative to where they typed it, while npm starts us at the repository's root. */
export const typedPath = (path: string): string => resolve(process.env['INIT_CWD'] ?? '.', path)

function mistake(path: string, error: unknown): UserError {
  return new UserError(`--json: ${path}: ${error instanceof Error ? error.message : String(error)}`)
}

/** Throws a `UserError` unless the file can be written; what is in it stays, and none is left where there was none. */
export async function requireWritable(path: string): Promise<void> {
  const target = typedPath(path)
  const known = await stat(target).catch(() => undefined)
  try {
    // Opening a FIFO would wait for its reader.
    if (known !== undefined && !known.isFile() && !known.isDirectory()) return await access(target, constants.W_OK)
    await (await open(target, 'a')).close()
    if (known === undefined) await rm(target)
  } catch (error) {
    throw mistake(path, error)
  }
}

/** Writes the figures; throws a `UserError` where that has become impossible. */
export async function writeJson(path: string, result: StoryResult | LeakResult): Promise<void> {
  await writeFile(typedPath(path), `${JSON.stringify(result, null, 2)}\n`).catch((error: unknown) => {
    throw mistake(path, error)
  })
}
