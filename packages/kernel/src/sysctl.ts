import { writeFile } from 'node:fs/promises'
import { readMemoryFile } from './memory-file.ts'

/**
 * Path of a key below /proc/sys. Dots separate, as in sysctl(8); a slash stands for a dot inside a name, so that
 * `net/ipv4/conf/eth0.100/rp_filter` works too.
 */
export function sysctlPath(key: string): string {
  return `/proc/sys/${key.includes('/') ? key : key.replaceAll('.', '/')}`
}

/** Value of a kernel parameter with its blanks folded to one space; undefined where the kernel has no such key. */
export async function readSysctl(key: string): Promise<string | undefined> {
  try {
    return readMemoryFile(sysctlPath(key)).trim().replaceAll(/\s+/g, ' ')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Sets a kernel parameter; the error says when /proc/sys is read-only, as it is in an unprivileged container. */
export async function writeSysctl(key: string, value: string): Promise<void> {
  try {
    await writeFile(sysctlPath(key), value)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EROFS' || code === 'EACCES') {
      throw new Error(
        `setting ${key} to ${value}: /proc/sys is read-only here; set it with the CNI tuning plugin in the network attachment`,
        { cause: error },
      )
    }
    if (code === 'ENOENT') {
      throw new Error(`setting ${key} to ${value}: the kernel has no such key (is its module loaded?)`, {
        cause: error,
      })
    }
    throw new Error(`setting ${key} to ${value}: ${(error as Error).message}`, { cause: error })
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOENT' || code === 'ENOTDIR'
}
