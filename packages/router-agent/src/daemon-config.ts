/** Configuration files of the daemons: tested by the daemon itself before they replace what is there. */
import { CommandError, type Runner } from '@vpn-gateway/kernel'
import { readFile } from 'node:fs/promises'
import { replaceFile } from '@vpn-gateway/runtime'

/** Writes keepalived's file if it differs; true if it did. Rejects with keepalived's own words when it refuses the file. */
export function writeKeepalivedConfig(runner: Runner, path: string, text: string): Promise<boolean> {
  return write(path, text, async (temporary) => {
    try {
      await runner.run({ argv: ['keepalived', '--config-test', '-f', temporary] })
    } catch (error) {
      throw refusal('keepalived', error)
    }
  })
}

/**
 * Writes conntrackd's file if it differs; true if it did. conntrackd has no test of its own, but as a client it reads the
 * file before it looks for the daemon: with no daemon it fails either way, and only a wrong file is spoken of as one.
 */
export function writeConntrackdConfig(runner: Runner, path: string, text: string): Promise<boolean> {
  return write(path, text, async (temporary) => {
    try {
      await runner.run({ argv: ['conntrackd', '-C', temporary, '-s'] })
    } catch (error) {
      if (error instanceof CommandError && !/parsing config file|invalid|missing/i.test(parsingPart(error.stderr)))
        return
      throw refusal('conntrackd', error)
    }
  })
}

/** Without what it says of the link, which may come up later, and of the daemon. */
function parsingPart(stderr: string): string {
  return stderr
    .split('\n')
    .filter((line) => !/is an invalid interface|is conntrackd running/.test(line))
    .join('\n')
}

async function write(path: string, text: string, check: (temporary: string) => Promise<void>): Promise<boolean> {
  if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return false
  await replaceFile(path, text, { mode: 0o600, check })
  return true
}

function refusal(daemon: string, error: unknown): Error {
  const said = error instanceof CommandError && error.stderr.trim() !== '' ? error.stderr.trim() : String(error)
  return new Error(`${daemon} refuses its configuration: ${said.split('\n').join('; ')}`, { cause: error })
}
