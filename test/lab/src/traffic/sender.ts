/** Steers a sender that runs in a client's namespace, and counts what the client's kernel really sends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Runner } from '@vpn-gateway/kernel'
import { programPath } from '../paths.ts'
import { asTraffic } from '../pods/priority.ts'
import { echoPort } from '../topology/addresses.ts'
import { runIn } from '../topology/namespace.ts'
import { sentKinds, type Destination, type Sent } from './destination.ts'

/** A running sender. */
export interface Sender {
  client: string
  /** Sends to these from now on, and to nothing else. */
  use(destinations: readonly Destination[]): Promise<void>
  /** Packets sent since the last call. */
  sent(): Promise<Sent>
  stop(): Promise<void>
}

const table = 'lab_sent'
const counters = [...sentKinds, 'large'] as const

/**
 * Behind routing and all else, so that what is counted is on its way to the cable; not to `eth0`, where only the capture's
 * control sends. Datagrams are fragmented later. Neighbour discovery does not count.
 */
const counting = `table inet ${table}
delete table inet ${table}
table inet ${table} {
${counters.map((name) => `  counter sent_${name} { }`).join('\n')}
  chain out {
    type filter hook postrouting priority 400; policy accept;
    oifname != "net1" return
    meta nfproto ipv6 meta l4proto { tcp, udp } counter name sent_ipv6 return
    meta nfproto ipv6 icmpv6 type echo-request counter name sent_ipv6 return
    meta nfproto ipv6 return
    meta length > 1500 counter name sent_large
    th dport 53 counter name sent_dns return
    meta l4proto udp counter name sent_udp return
    tcp flags & (syn | ack) == syn counter name sent_tcp return
    icmp type echo-request counter name sent_icmp
  }
}
`

interface NftCounters {
  nftables: { counter?: { name: string; packets: number } }[]
}

/** Starts a sender in a client's namespace; it sends nothing yet. */
export async function startSender(runner: Runner, client: string): Promise<Sender> {
  await runIn(runner, client, ['nft', '-f', '-'], { stdin: counting })
  const sender = [process.execPath, programPath('lab-sender'), String(echoPort)]
  const [program, ...argv] = asTraffic(['ip', 'netns', 'exec', client, ...sender])
  const child = spawn(program, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  child.stdin.on('error', () => undefined)
  return {
    client,
    async use(destinations) {
      const answered = Promise.race([once(child.stdout, 'data'), exited.then(() => undefined)])
      child.stdin.write(`${JSON.stringify({ destinations })}\n`)
      if ((await answered) === undefined) throw new Error(`the sender in ${client} ended`)
    },
    async sent() {
      const text = await runIn(runner, client, ['nft', '-j', 'reset', 'counters', 'table', 'inet', table])
      const packets = new Map(
        (JSON.parse(text) as NftCounters).nftables.flatMap(({ counter }) =>
          counter === undefined ? [] : [[counter.name.replace('sent_', ''), counter.packets] as const],
        ),
      )
      const of = (name: (typeof counters)[number]) => packets.get(name) ?? 0
      return {
        tcp: of('tcp'),
        udp: of('udp'),
        icmp: of('icmp'),
        dns: of('dns'),
        ipv6: of('ipv6'),
        large: of('large'),
      }
    },
    async stop() {
      child.stdin.end()
      await exited
    },
  }
}
