import { open, rename, rm } from 'node:fs/promises'

/** Counts temporary files, so that two replacements of one file at a time do not share one. */
let replacements = 0

export interface ReplaceOptions {
  /** Permission bits; 0o644 unless said. */
  mode?: number
  /** Judges the new file by its temporary path, best with the daemon's own test; a rejection leaves the old file. */
  check?: (path: string) => Promise<void>
}

/** Replaces a file as a whole: readers see the old text or the new one, also after a crash (rename(2), fsync(2)). */
export async function replaceFile(
  path: string,
  text: string,
  { mode = 0o644, check }: ReplaceOptions = {},
): Promise<void> {
  replacements += 1
  const temporary = `${path}.${process.pid}-${replacements}.new`
  try {
    const file = await open(temporary, 'w', mode)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await check?.(temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
