import type { Runner } from './command.ts'
import { readItems } from './json.ts'
import type { FdbEntry } from './state.ts'

interface RawFdb {
  mac: string
  ifname?: string
  dst?: string
  state?: string
  flags?: string[]
}

/** Forwarding entries of one device, from `bridge -json fdb show dev` (bridge(8)). */
export async function listFdb(runner: Runner, dev: string): Promise<FdbEntry[]> {
  return parseFdb(await runner.run({ argv: ['bridge', '-json', 'fdb', 'show', 'dev', dev] }), dev)
}

/** Parses what `bridge -json fdb show dev DEV` prints. */
export function parseFdb(text: string, dev: string): FdbEntry[] {
  return readItems<RawFdb, FdbEntry>('bridge fdb', text, (raw) => {
    const entry: FdbEntry = { dev: raw.ifname ?? dev, mac: raw.mac, state: raw.state ?? '' }
    if (raw.dst !== undefined) entry.dst = raw.dst
    return [entry]
  })
}
