/** What keepalived's VRRP process says of itself: its JSON dump, which it writes into its TMPDIR when it gets a signal. */
import { stat } from 'node:fs/promises'
import { readTextFile } from '@vpn-gateway/config'
import type { Component } from '@vpn-gateway/runtime'

/** The instance as VRRP runs it, with the counters of keepalived's MIB under its own names. */
export interface KeepalivedData {
  effectivePriority: number
  basePriority: number
  /** Priority in the last advertisement of another router; 0 before the first. */
  masterPriority: number
  /** Seconds between advertisements, as the master has it. */
  advertInterval: number
  /** Number of keepalived's: 0 init, 1 backup, 2 master, 3 fault. */
  state: number
  /** Unix seconds. */
  lastTransition: number
  stats: Record<string, number>
}

export interface KeepalivedDump extends Component {
  /** The last dump; undefined while there is none, or the last three signals were not answered. */
  latest(): KeepalivedData | undefined
  /** Whether the VRRP process has left three signals in a row without an answer. */
  silent(): boolean
}

export interface KeepalivedDumpOptions {
  path: string
  instance: string
  /** Sends keepalived a signal by its number; false while it does not run. */
  signal: (number: number) => boolean
}

/** SIGRTMIN + 2 of signal(7) with glibc, `keepalived --signum=JSON`. */
const dumpSignal = 36
/** Bytes; one instance takes a few thousand. */
const longestDump = 256 * 1024
/** Milliseconds between two signals. */
const askEvery = 3000
/** Signals in a row without a new dump after which the process counts as stuck. */
const patience = 3

/** Asks for a dump every three seconds and reads the one before: nobody waits for keepalived. */
export function createKeepalivedDump({ path, instance, signal }: KeepalivedDumpOptions): KeepalivedDump {
  let data: KeepalivedData | undefined
  let writtenAt = 0
  let unanswered = 0
  let timer: NodeJS.Timeout | undefined
  let stopped = true

  async function round(): Promise<void> {
    const modified = (await stat(path).catch(() => undefined))?.mtimeMs ?? 0
    const fresh = modified > writtenAt
    const read = fresh
      ? parseKeepalivedData(await readTextFile(path, longestDump).catch(() => ''), instance)
      : undefined
    if (read !== undefined) {
      data = read
      writtenAt = modified
      unanswered = 0
    }
    if (signal(dumpSignal)) unanswered += 1
    // What does not run cannot answer; that is the supervisor's to tell.
    else unanswered = 0
    if (unanswered > patience) data = undefined
    if (!stopped) timer = setTimeout(() => void round(), askEvery)
  }

  return {
    name: 'keepalived-dump',
    async start() {
      stopped = false
      // keepalived's default action for the signal is its end until its handler is there.
      timer = setTimeout(() => void round(), askEvery)
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
    },
    latest: () => data,
    silent: () => unanswered > patience,
  }
}

/** Parses the dump; undefined while it is being written, or without the instance. */
export function parseKeepalivedData(text: string, instance: string): KeepalivedData | undefined {
  let instances: unknown
  try {
    instances = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(instances)) return undefined
  const found = (instances as ({ data?: Record<string, unknown> | null; stats?: unknown } | null)[]).find(
    (each) => each?.data?.['iname'] === instance,
  )
  if (found?.data === undefined || found.data === null) return undefined
  const { data, stats } = found
  const number = (name: string) => (Number.isFinite(data[name]) ? Number(data[name]) : 0)
  return {
    effectivePriority: number('effective_priority'),
    basePriority: number('base_priority'),
    masterPriority: number('master_priority'),
    advertInterval: number('master_adver_int'),
    state: number('state'),
    lastTransition: number('last_transition'),
    stats: numbersOf(stats),
  }
}

function numbersOf(value: unknown): Record<string, number> {
  const entries = Object.entries(value ?? {}) as [string, unknown][]
  return Object.fromEntries(entries.filter((entry): entry is [string, number] => Number.isFinite(entry[1])))
}
