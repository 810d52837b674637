import { constants, openSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { createRunner, splitLines } from '@vpn-gateway/kernel'

/** Characters; daemons' lines have a few hundred. */
const longestLine = 4096

/** A named pipe that is being read. */
export interface Fifo {
  readonly path: string
  close(): void
}

/** Makes a named pipe (fifo(7)) if there is none at the path; anything else there is replaced. */
export async function makeFifo(path: string, mode = 0o600): Promise<void> {
  const held = await stat(path).catch(() => undefined)
  if (held?.isFIFO() === true) return
  await rm(path, { force: true })
  await createRunner().run({ argv: ['mkfifo', '-m', mode.toString(8), path] })
}

/**
 * Opens a named pipe for reading and writing without blocking. Holding both ends means that a reader never sees the end
 * of the file when a writer goes, and that a writer that has inherited it never gets EPIPE when the reader goes.
 */
export function openFifo(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
}

/** Calls `onLine` for each line that is written into a named pipe, which is made if need be, until it is closed. */
export async function readFifo(path: string, onLine: (line: string) => void): Promise<Fifo> {
  await makeFifo(path)
  const socket = new Socket({ fd: openFifo(path), readable: true, writable: false })
  socket.setEncoding('utf8').on('data', splitLines(longestLine, onLine))
  return {
    path,
    close: () => void socket.destroy(),
  }
}
