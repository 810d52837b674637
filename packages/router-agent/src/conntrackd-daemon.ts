import { setTimeout as delay } from 'node:timers/promises'
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
  /** Writes its file anew and starts it anew if it differs; rejects with conntrackd's own words when it refuses it. */
  reload(): Promise<void>
  /** Tells conntrackd what this router has become. */
  enter(state: VrrpState): Promise<void>
  /** Its counters; undefined while it does not answer. */
  stats(): Promise<ConntrackdStats | undefined>
}

/** Milliseconds that a daemon which was started anew may take until it answers, and between two looks. */
const answersWithin = 10_000
const lookEvery = 250

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
  const { config, lock, socket } = router.paths.conntrackd
  let changed = false
  let last: VrrpState | undefined
  let telling = Promise.resolve()
  const daemon = superviseDaemon({
    name: 'conntrackd',
    argv: ['conntrackd', '-C', config],
    runDir,
    leftovers: [lock, socket],
    log,
    parseLine: parseConntrackdLine,
    onStart(how) {
      // It reads its file only once. The kernel's table stays, and the new one asks the other router for the rest.
      if (how === 'adopted' && changed) daemon.signal('SIGTERM')
      if (how === 'started' && last !== undefined) void tellAnew(last)
    },
  })

  async function tell(words: readonly string[]): Promise<void> {
    try {
      await runner.run({ argv: ['conntrackd', '-C', config, ...words] })
    } catch (error) {
      log.warn(
        { error: error instanceof CommandError ? error.stderr.trim() : String(error) },
        `conntrackd ${words.join(' ')} failed`,
      )
    }
  }

  async function stats(): Promise<ConntrackdStats | undefined> {
    try {
      const text = await runner.run({ argv: ['conntrackd', '-C', config, '-s'], timeoutMs: 2000 })
      const read = parseConntrackdStats(text)
      // A packet that passes a standby, as one does while clients turn to another router, makes its flow known again.
      if (last !== undefined && last !== 'MASTER' && read.cached > 0) void empty()
      return read
    } catch {
      return undefined
    }
  }

  function empty(): Promise<void> {
    telling = telling.then(() => (last === 'MASTER' ? undefined : tell(emptyCache)))
    return telling
  }

  /** One after the other: emptied after it was filled, an active router's cache would have nothing to tell who joins. */
  function enter(state: VrrpState): Promise<void> {
    last = state
    telling = telling.then(async () => {
      for (const words of wordsFor(state)) if (last === state) await tell(words)
    })
    return telling
  }

  /** What happened while it did not run, it has told nobody and heard from nobody. */
  async function tellAnew(state: VrrpState): Promise<void> {
    for (let looks = 0; looks < answersWithin / lookEvery && daemon.state !== 'stopped'; looks += 1) {
      if ((await stats()) !== undefined) return enter(state)
      await delay(lookEvery)
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
    async reload() {
      if (!(await writeConntrackdConfig(runner, config, renderConntrackd(router)))) return
      log.info('conntrackd is started anew with its changed configuration')
      daemon.signal('SIGTERM')
    },
    problems: () =>
      daemon.state === 'running'
        ? []
        : [`conntrackd is ${daemon.state}${daemon.lastExit === undefined ? '' : ` (${daemon.lastExit})`}`],
    enter,
    stats,
  }
}

/**
 * What conntrackd(8) is told in a state. Pure.
 *
 * MASTER: entries that the other router injected are unknown to this one's cache, since they made no event here: -R reads the
 * kernel's table, -B sends what it found, should somebody be listening.
 *
 * Else its cache is emptied. It holds every flow of the time as the active router, and all of the kernel's table after a start.
 * IPVS deletes a flow's entry with its gateway, or it expires; what is in the cache would be deleted at the active router
 * too, from where a standby's view of a gateway is nobody's business. -n asks for what this router may have missed. Never
 * -t: it wipes injected entries a minute later.
 */
export function wordsFor(state: VrrpState): string[][] {
  if (state === 'MASTER') return [['-R'], ['-B']]
  return [emptyCache, ...(state === 'BACKUP' ? [['-n']] : [])]
}

const emptyCache = ['-f', 'internal']

/** `[Mon Nov 23 00:02:56 2026] (pid=13569) [notice] initialization completed`. */
export function parseConntrackdLine(line: string): LogLine | undefined {
  const [, word = 'notice', message = line] = /^\[[^\]]*\] \(pid=\d+\) \[(\w+)\] (.*)$/.exec(line) ?? []
  if (message.trim() === '') return undefined
  const level = word === 'ERROR' ? 'error' : word === 'warning' ? 'warn' : 'info'
  return { level, message: message.trim() }
}
