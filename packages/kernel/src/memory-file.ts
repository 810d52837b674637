/** Small files that are in memory: those of proc(5) and sysfs(5), and pid files in a run directory. */
import { readFileSync } from 'node:fs'

/**
 * Text of such a file. It is read at once, on this thread: there is no disk to wait for, and a turn through the pool of
 * threads takes many times as long as the reading. Throws what open(2) and read(2) say, `ENOENT` for what is not there.
 */
export function readMemoryFile(path: string): string {
  return readFileSync(path, 'utf8')
}

/** The same, empty where the file cannot be read: a process that has ended, a module that is not loaded. */
export function readMemoryFileIfPresent(path: string): string {
  try {
    return readMemoryFile(path)
  } catch {
    return ''
  }
}
