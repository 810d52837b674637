import { listNftCounters, type NftCounter, type Runner } from '@vpn-gateway/kernel'
import type { Component, Log } from '@vpn-gateway/runtime'
import { orphanTable } from './firewall.ts'

/** Packets of flows that this router does not know, by what became of them. */
export interface OrphanCounts {
  /** TCP segments answered with a reset. */
  reset?: number
  /** Others, answered with an ICMP error. */
  refused?: number
  /** Dropped, by a router that is not the settled active one. */
  dropped?: number
}

/** The rules' counters as last read, which begin anew whenever the rules are replaced, and the sum of all. */
export interface OrphanSum {
  readonly last: OrphanCounts
  readonly total: OrphanCounts
}

/** Milliseconds between two readings: each starts a process, which nobody who scrapes should be able to. */
const readEvery = 10_000

/** Reads the counters on and on. */
export interface OrphanWatch extends Component {
  /** Since the rules were made that it found at its start; undefined before the first reading. */
  counts(): OrphanCounts | undefined
}

export function createOrphanWatch(runner: Runner, log: Log): OrphanWatch {
  let sum: OrphanSum | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = true

  async function round(): Promise<void> {
    try {
      const counts = await readOrphans(runner)
      if (counts !== undefined || sum !== undefined) sum = addReading(sum, counts ?? {})
    } catch (error) {
      log.warn({ error: String(error) }, "reading the orphans' counters failed")
    }
    if (!stopped) timer = setTimeout(() => void round(), readEvery)
  }

  return {
    name: 'orphan-watch',
    async start() {
      stopped = false
      void round()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
    },
    counts: () => sum?.total,
  }
}

/** Adds a reading: a counter that is lower than before is one of a new rule. Pure. */
export function addReading(before: OrphanSum | undefined, last: OrphanCounts): OrphanSum {
  const total = { ...before?.total }
  for (const verdict of ['reset', 'refused', 'dropped'] as const) {
    const now = last[verdict]
    if (now === undefined) continue
    const earlier = before?.last[verdict] ?? 0
    total[verdict] = (total[verdict] ?? 0) + (now >= earlier ? now - earlier : now)
  }
  return { last, total }
}

/** Reads the counters of the orphans' rules; undefined while there are no such rules. */
async function readOrphans(runner: Runner): Promise<OrphanCounts | undefined> {
  const counters = await listNftCounters(runner, 'ip', orphanTable)
  return counters === undefined ? undefined : countOrphans(counters)
}

/** Adds up the rules' packets by verdict. */
export function countOrphans(counters: readonly NftCounter[]): OrphanCounts {
  const counts: OrphanCounts = {}
  for (const { rule, packets } of counters) {
    const verdict = rule.endsWith('reject with tcp reset') ? 'reset' : rule.includes('reject') ? 'refused' : 'dropped'
    counts[verdict] = (counts[verdict] ?? 0) + packets
  }
  return counts
}
