/** A place for what is needed while images are built. */
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Makes a directory that goes when this process ends, also when it gives up or is interrupted. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'vpn-gateway-images-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  for (const signal of signals) process.once(signal, () => process.exit(128 + constants.signals[signal]))
  return directory
}
