/**
 * Adds to connection tracking what IPVS knows and it lacks. A router that loses its gateways deletes its flows, and with each
 * its entry (`ip_vs_conn_drop_conntrack`), which conntrackd deletes at the other routers as well; a datagram between routers
 * may be lost. IPVS' own sync tells of no deletions. The client's next packet would bring an entry back, but in a
 * download only the server speaks: without an entry its packets are refused, and the client waits for ever.
 */
import { rm, writeFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { readIpvsConnections, type IpvsConnection, type Runner } from '@vpn-gateway/kernel'

/** Entries that one call of conntrack(8) adds. */
const batch = 2000

export interface RefillOptions {
  runner: Runner
  /** File for the entries: conntrack(8) opens its standard input by name, which cannot be done to a socket. */
  path: string
  read?: () => AsyncIterable<IpvsConnection>
}

/** Adds what is missing while `needed` says so; the number of flows that it looked after. Entries that are there stay as they are. */
export async function refillConntrack(
  { runner, path, read = readIpvsConnections }: RefillOptions,
  needed: () => boolean,
): Promise<number> {
  let lines: string[] = []
  let count = 0
  const flush = async () => {
    await writeFile(path, lines.join(''), { mode: 0o600 })
    await runner.run({ argv: ['conntrack', '--load-file', path] })
    count += lines.length
    lines = []
  }
  try {
    for await (const connection of read()) {
      if (!needed()) return count
      const line = entryOf(connection)
      if (line !== undefined) lines.push(line)
      if (lines.length === batch) await flush()
    }
    if (lines.length > 0) await flush()
    return count
  } finally {
    await rm(path, { force: true })
  }
}

/**
 * A line of conntrack(8)'s file for a flow under way, undefined for any other. `-A` leaves an entry that is there alone. The
 * entry lasts as long as IPVS' own without a packet; the first one gives it the kernel's timeout.
 */
export function entryOf({
  protocol,
  state,
  client,
  clientPort,
  destination,
  destinationPort,
  expires,
}: IpvsConnection): string | undefined {
  const tcp = protocol === 'TCP' && state === 'ESTABLISHED'
  if ((!tcp && protocol !== 'UDP') || !isIPv4(client) || !isIPv4(destination)) return undefined
  const flow = `-s ${client} -d ${destination} --sport ${clientPort} --dport ${destinationPort}`
  return `-A -p ${tcp ? 'tcp --state ESTABLISHED' : 'udp'} ${flow} -t ${Math.max(1, expires)} -u SEEN_REPLY,ASSURED\n`
}
