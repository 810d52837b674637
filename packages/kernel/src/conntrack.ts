import { readMemoryFile } from './memory-file.ts'

/** Tracked connections of this network namespace and the most that may be; undefined without nf_conntrack. */
export async function readConntrackCount(): Promise<{ entries: number; limit: number } | undefined> {
  return countNow()
}

function countNow(): { entries: number; limit: number } | undefined {
  try {
    const entries = Number(readMemoryFile('/proc/sys/net/netfilter/nf_conntrack_count'))
    return { entries, limit: Number(readMemoryFile('/proc/sys/net/netfilter/nf_conntrack_max')) }
  } catch {
    return undefined
  }
}

/** How full the table is, at once. */
export interface ConntrackRoom {
  entries: number
  /** 0 for none. */
  limit: number
  /** Packets dropped so far because no entry could be made for them. */
  drops: number
}

/** Entries and drops of this network namespace; undefined where the kernel does not tell both. */
export function readConntrackRoom(): ConntrackRoom | undefined {
  const [count, stats] = [countNow(), statsIn(statsFile)]
  return count === undefined || stats === undefined ? undefined : { ...count, drops: stats.drop }
}

const statsFile = '/proc/net/stat/nf_conntrack'

/** Events of connection tracking since the namespace was made, over all processors. */
export interface ConntrackStats {
  /** Lookups that found an entry. */
  found: number
  invalid: number
  ignore: number
  insert: number
  insertFailed: number
  /** Packets dropped because no entry could be made for them, the table being full in most cases. */
  drop: number
  /** Entries that were given up early to make room. */
  earlyDrop: number
  searchRestart: number
}

/** Counters of this network namespace; undefined where the kernel keeps none (CONFIG_NF_CONNTRACK_PROCFS). */
export async function readConntrackStats(path = statsFile): Promise<ConntrackStats | undefined> {
  return statsIn(path)
}

function statsIn(path: string): ConntrackStats | undefined {
  try {
    return parseConntrackStats(readMemoryFile(path))
  } catch {
    return undefined
  }
}

/** Parses /proc/net/stat/nf_conntrack: a heading, then a line of hexadecimal numbers for each processor. */
export function parseConntrackStats(text: string): ConntrackStats | undefined {
  const [heading, ...processors] = text.trim().split('\n')
  const names = heading?.split(/\s+/) ?? []
  if (!names.includes('insert_failed') || processors.length === 0) return undefined
  const rows = processors.map((line) => line.trim().split(/\s+/))
  const sum = (name: string) => {
    const column = names.indexOf(name)
    return rows.reduce((total, row) => total + Number.parseInt(row[column] ?? '0', 16), 0)
  }
  return {
    found: sum('found'),
    invalid: sum('invalid'),
    ignore: sum('ignore'),
    insert: sum('insert'),
    insertFailed: sum('insert_failed'),
    drop: sum('drop'),
    earlyDrop: sum('early_drop'),
    searchRestart: sum('search_restart'),
  }
}
