import { readFile, writeFile } from 'node:fs/promises'
import type { Runner } from '@vpn-gateway/kernel'
import {
  readFifo,
  superviseDaemon,
  type Component,
  type Fifo,
  type Log,
  type SupervisedDaemon,
} from '@vpn-gateway/runtime'
import { writeKeepalivedConfig } from './daemon-config.ts'
import { causeInKeepalivedLine, parseKeepalivedLine } from './keepalived-log.ts'
import { renderKeepalived } from './keepalived.ts'
import type { Router } from './router.ts'
import type { VrrpCause } from './vrrp.ts'

/** keepalived with its configuration, and its two children, which do the work. */
export interface KeepalivedDaemon extends Component {
  readonly daemon: SupervisedDaemon
  /** What is wrong with its processes, one line each; empty when all of them live. */
  problems(): Promise<string[]>
}

export interface KeepalivedOptions {
  router: Router
  runDir: string
  runner: Runner
  log: Log
  onStart: (how: 'started' | 'adopted') => void
  onCause: (cause: VrrpCause) => void
  /** A line of lvs_notify_fifo: a gateway came or went. */
  onGateway: (line: string) => void
  /** The checker process starts, with keepalived or, when it died alone, without. */
  onChecker: () => void
}

export function createKeepalivedDaemon(options: KeepalivedOptions): KeepalivedDaemon {
  const { router, runDir, runner, log } = options
  const { config, pidFiles, lvsFifo, trackFile, worthFile } = router.paths.keepalived
  let changed = false
  let fifo: Fifo | undefined
  const daemon = superviseDaemon({
    name: 'keepalived',
    // -I: IPVS keeps its table when keepalived ends. Otherwise flows that still arrive would be orphans, and be reset,
    // while the other router is taking over.
    argv: ['keepalived', '-n', '-l', '-D', '-I', '-f', config, ...pidArguments(pidFiles)],
    runDir,
    log,
    parseLine(line) {
      const cause = causeInKeepalivedLine(line)
      if (cause !== undefined) options.onCause(cause)
      if (line.includes('Starting Healthcheck child process')) options.onChecker()
      return parseKeepalivedLine(line)
    },
    onStart(how) {
      options.onStart(how)
      if (how === 'adopted' && changed) {
        log.info('keepalived reloads its changed configuration')
        daemon.signal('SIGHUP')
      }
    },
  })
  return {
    name: 'keepalived',
    daemon,
    async start(signal) {
      // It reads them when it starts; what an earlier agent wrote still stands.
      await Promise.all([...router.plan.gatewayAddresses.map(trackFile), worthFile].map(createNumberFile))
      changed = await writeKeepalivedConfig(runner, config, renderKeepalived(router))
      fifo = await readFifo(lvsFifo, options.onGateway)
      await daemon.start(signal)
    },
    async stop(deadline) {
      // SIGTERM: it says goodbye with priority 0, so that the other router does not wait for adverts.
      await daemon.stop(deadline)
      fifo?.close()
    },
    async problems() {
      if (daemon.state !== 'running')
        return [`keepalived is ${daemon.state}${daemon.lastExit === undefined ? '' : ` (${daemon.lastExit})`}`]
      const children = { VRRP: pidFiles.vrrp, checker: pidFiles.checkers }
      const dead = await Promise.all(
        Object.entries(children).map(async ([name, file]) =>
          (await lives(file)) ? [] : [`keepalived's ${name} process does not run`],
        ),
      )
      return dead.flat()
    },
  }
}

function pidArguments({ parent, checkers, vrrp, bfd }: Router['paths']['keepalived']['pidFiles']): string[] {
  return ['-p', parent, '-c', checkers, '-r', vrrp, '-b', bfd]
}

async function createNumberFile(path: string): Promise<void> {
  await writeFile(path, '0\n', { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}

/** Whether the process that a pid file names is there and not a zombie. */
async function lives(pidFile: string): Promise<boolean> {
  const pid = Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10)
  if (!Number.isInteger(pid)) return false
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat !== '' && !/\) Z /.test(stat)
}
