import { readFile } from 'node:fs/promises'

/** Tracked connections of this network namespace and the most that may be; undefined without nf_conntrack. */
export async function readConntrackCount(): Promise<{ entries: number; limit: number } | undefined> {
  try {
    const [entries, limit] = await Promise.all([
      readFile('/proc/sys/net/netfilter/nf_conntrack_count', 'utf8'),
      readFile('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8'),
    ])
    return { entries: Number(entries), limit: Number(limit) }
  } catch {
    return undefined
  }
}
