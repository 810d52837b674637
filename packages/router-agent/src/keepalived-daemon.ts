import { writeFile } from 'node:fs/promises'
import { readMemoryFileIfPresent, type Runner } from '@vpn-gateway/kernel'
import {
  inRealTime,
  readFifo,
  superviseDaemon,
  type Component,
  type Fifo,
  type Log,
  type SupervisedDaemon,
} from '@vpn-gateway/runtime'
import { writeKeepalivedConfig } from './daemon-config.ts'
import { createKeepalivedDump, type KeepalivedData } from './keepalived-data.ts'
import { causeInKeepalivedLine, isWithoutRawSocket, parseKeepalivedLine } from './keepalived-log.ts'
import { renderKeepalived, vrrpInstance } from './keepalived.ts'
import type { Router } from './router.ts'
import type { VrrpCause } from './vrrp.ts'

/** keepalived with its configuration, and its two children, which do the work. */
export interface KeepalivedDaemon extends Component {
  readonly daemon: SupervisedDaemon
  /** What is wrong with its processes, one line each; empty when all of them live. */
  problems(): Promise<string[]>
  /** Writes its file anew and has it read in place if it differs; rejects with keepalived's own words when it refuses it. */
  reload(): Promise<void>
  /** What its VRRP process said of itself last; undefined when it does not answer. */
  data(): KeepalivedData | undefined
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

/**
 * Real-time priority of all of its processes: adverts must leave on time while the machine is busy, and no gateway may seem
 * dead because there was no time to ask. conntrackd has a lower one. Its own options for that are not used, see ADR 17.
 */
const priority = 50

/** Milliseconds after its start in which keepalived gets no signal but the supervisor's. */
const signalAfter = 2500

export function createKeepalivedDaemon(options: KeepalivedOptions): KeepalivedDaemon {
  const { router, runDir, runner, log } = options
  const { config, pidFiles, lvsFifo, trackFile, worthFile, dumpFile } = router.paths.keepalived
  let changed = false
  let fifo: Fifo | undefined
  let startedAt = Infinity
  /** Its VRRP process has no raw socket, as it says once. */
  let mute = false
  const daemon = superviseDaemon({
    name: 'keepalived',
    // -I: IPVS keeps its table when keepalived ends. Otherwise flows that still arrive would be orphans, and be reset,
    // while the other router is taking over.
    argv: inRealTime(priority, ['keepalived', '-n', '-l', '-D', '-I', '-f', config, ...pidArguments(pidFiles)]),
    runDir,
    leftovers: Object.values(pidFiles),
    log,
    // Where it writes its dump: a directory of its own rather than everybody's.
    env: { TMPDIR: runDir },
    parseLine(line) {
      const cause = causeInKeepalivedLine(line)
      if (cause !== undefined) options.onCause(cause)
      if (line.includes('Starting Healthcheck child process')) options.onChecker()
      if (line.includes('Starting VRRP child process')) mute = false
      if (isWithoutRawSocket(line)) mute = true
      return parseKeepalivedLine(line)
    },
    onStart(how) {
      startedAt = performance.now()
      options.onStart(how)
      if (how === 'adopted' && changed) {
        log.info('keepalived reloads its changed configuration')
        daemon.signal('SIGHUP')
      }
    },
  })
  const dump = createKeepalivedDump({
    path: dumpFile,
    instance: vrrpInstance,
    // A process that is just starting has no handler yet, and the signal would end it.
    signal: (number) => performance.now() - startedAt > signalAfter && daemon.signal(number),
  })
  /** True if the file differed. */
  async function write(): Promise<boolean> {
    // It reads them when it starts; what an earlier agent wrote still stands.
    await Promise.all([...router.plan.gatewayAddresses.map(trackFile), worthFile].map(createNumberFile))
    return writeKeepalivedConfig(runner, config, renderKeepalived(router))
  }

  return {
    name: 'keepalived',
    daemon,
    async reload() {
      if (!(await write())) return
      log.info('keepalived reloads its changed configuration')
      daemon.signal('SIGHUP')
    },
    data: () => dump.latest(),
    async start(signal) {
      changed = await write()
      fifo = await readFifo(lvsFifo, options.onGateway)
      await daemon.start(signal)
      await dump.start(signal)
    },
    async stop(deadline) {
      await dump.stop(deadline)
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
      return [
        ...dead.flat(),
        ...(mute ? ["keepalived's VRRP process may not open raw sockets: expected CAP_NET_RAW"] : []),
        ...(dump.silent() ? ["keepalived's VRRP process does not answer"] : []),
      ]
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
  const pid = Number.parseInt(readMemoryFileIfPresent(pidFile), 10)
  if (!Number.isInteger(pid)) return false
  const stat = readMemoryFileIfPresent(`/proc/${pid}/stat`)
  return stat !== '' && !/\) Z /.test(stat)
}
