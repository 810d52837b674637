import { CommandError, type Runner } from '@vpn-gateway/kernel'
import { superviseDaemon, type Component, type Log, type LogLine, type SupervisedDaemon } from '@vpn-gateway/runtime'
import { parseConntrackdStats, type ConntrackdStats } from './conntrackd-stats.ts'
import { renderConntrackd } from './conntrackd.ts'
import { writeConntrackdConfig } from './daemon-config.ts'
import type { Router } from './router.ts'
import type { VrrpState } from './vrrp.ts'

export interface ConntrackdDaemon extends Component {
  readonly daemon: SupervisedDaemon
  problems(): string[]
  /** Tells conntrackd what this router has become. */
  enter(state: VrrpState): Promise<void>
  /** Its counters; undefined while it does not answer. */
  stats(): Promise<ConntrackdStats | undefined>
}

export function createConntrackdDaemon({
  router,
  runDir,
  runner,
  log,
}: {
  router: Router
  runDir: string
  runner: Runner
  log: Log
}): ConntrackdDaemon {
  const { config } = router.paths.conntrackd
  let changed = false
  const daemon = superviseDaemon({
    name: 'conntrackd',
    argv: ['conntrackd', '-C', config],
    runDir,
    log,
    parseLine: parseConntrackdLine,
    onStart(how) {
      // It reads its file only once. The kernel's table stays, and the new one asks the other router for the rest.
      if (how === 'adopted' && changed) daemon.signal('SIGTERM')
    },
  })

  async function tell(flag: string): Promise<void> {
    try {
      await runner.run({ argv: ['conntrackd', '-C', config, flag] })
    } catch (error) {
      log.warn(
        { error: error instanceof CommandError ? error.stderr.trim() : String(error) },
        `conntrackd ${flag} failed`,
      )
    }
  }

  return {
    name: 'conntrackd',
    daemon,
    async start(signal) {
      changed = await writeConntrackdConfig(runner, config, renderConntrackd(router))
      await daemon.start(signal)
    },
    stop: (deadline) => daemon.stop(deadline),
    problems: () =>
      daemon.state === 'running'
        ? []
        : [`conntrackd is ${daemon.state}${daemon.lastExit === undefined ? '' : ` (${daemon.lastExit})`}`],
    async enter(state) {
      if (state === 'MASTER') {
        // Entries that the other router injected are unknown to this one's cache, since they made no event here: -R reads
        // the kernel's table, -B sends what it found, should somebody be listening.
        await tell('-R')
        await tell('-B')
      } else if (state === 'BACKUP') {
        // What the other router knows and this one may have missed. Never -t: it wipes injected entries a minute later.
        await tell('-n')
      }
    },
    async stats() {
      try {
        return parseConntrackdStats(await runner.run({ argv: ['conntrackd', '-C', config, '-s'], timeoutMs: 2000 }))
      } catch {
        return undefined
      }
    },
  }
}

/** `[Mon Nov 23 00:02:56 2026] (pid=13569) [notice] initialization completed`. */
export function parseConntrackdLine(line: string): LogLine | undefined {
  const [, word = 'notice', message = line] = /^\[[^\]]*\] \(pid=\d+\) \[(\w+)\] (.*)$/.exec(line) ?? []
  if (message.trim() === '') return undefined
  const level = word === 'ERROR' ? 'error' : word === 'warning' ? 'warn' : 'info'
  return { level, message: message.trim() }
}
