import type { Runner } from '@vpn-gateway/kernel'
import { superviseDaemon, type Log, type LogLine, type SupervisedDaemon } from '@vpn-gateway/runtime'
import { alias } from './desired.ts'
import { tunnelLink } from './wireguard.ts'

/** What WireGuard in userspace works with. */
export interface WireguardGoOptions {
  runner: Runner
  runDir: string
  log: Log
  /** Called when the tunnel's link is there and marked as the agent's: it can be configured. */
  onReady: () => void
}

/**
 * Supervises wireguard-go, which makes the tunnel's link and ends with it; wg(8) configures it by its socket, in
 * /var/run/wireguard, as it does the kernel's. The mark that the plan looks for is put on by hand: the plan makes no tun.
 */
export function createWireguardGo({ runner, runDir, log, onReady }: WireguardGoOptions): SupervisedDaemon {
  async function claim(): Promise<void> {
    try {
      await runner.run({ argv: ['ip', 'link', 'set', 'dev', tunnelLink, 'alias', alias] })
      onReady()
    } catch (error) {
      log.error({ error: error instanceof Error ? error.message : String(error) }, 'the tunnel cannot be marked')
    }
  }

  return superviseDaemon({
    name: 'wireguard-go',
    argv: ['wireguard-go', '-f', tunnelLink],
    runDir,
    log,
    env: { LOG_LEVEL: 'verbose' },
    parseLine(line) {
      // Said last of all at a start; from here on wg(8) finds it.
      if (line.includes('UAPI listener started')) void claim()
      return wireguardGoLine(line)
    },
  })
}

/** Its log is one of single handshakes: only its errors are worth more than `debug`. It names peers by a part of their key. */
export function wireguardGoLine(line: string): LogLine | undefined {
  if (line.trim() === '') return undefined
  return { level: line.startsWith('ERROR') ? 'error' : 'debug', message: line }
}
