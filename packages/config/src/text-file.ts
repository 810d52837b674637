import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** Bytes of one reading. */
const portion = 16 * 1024
/** Milliseconds that the writer of a pipe may be silent, and between two looks at it. */
const patience = 5000
const lookEvery = 20

/**
 * Text of a file in UTF-8. Of one with more than `most` bytes it is the beginning and has more than `most` bytes too, by
 * which the caller knows. Rejects as open(2) and read(2) do; with EAGAIN where a pipe's writer says nothing for 5 s.
 */
export async function readTextFile(path: string, most: number): Promise<string> {
  // Without waiting for whoever would open the other end of a named pipe.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const parts: Buffer[] = []
    for (let length = 0; length <= most;) {
      const part = await readPart(file, Math.min(portion, most + 1 - length))
      if (part.length === 0) break
      parts.push(part)
      length += part.length
    }
    return Buffer.concat(parts).toString('utf8')
  } finally {
    await file.close()
  }
}

/** Empty at the end of the file. */
async function readPart(file: FileHandle, size: number): Promise<Buffer> {
  for (let waited = 0; ; waited += lookEvery) {
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(size), 0, size, null)
      return buffer.subarray(0, bytesRead)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || waited >= patience) throw error
      await delay(lookEvery)
    }
  }
}
