/** What the sender and whoever steers it tell each other: one JSON document a line. */

/** Where to send to, and as whom. */
export interface Destination {
  /** IPv4 or IPv6. */
  address: string
  /** TCP and UDP port; the one that answers unless said. */
  port?: number
  /** No echo requests: each destination that gets some costs a process. */
  quiet?: boolean
  /** Source to send from, an address of the client's; the kernel's choice unless said. */
  source?: string
  /** Hops that the packets may take; the kernel's default unless said. */
  ttl?: number
  /** Bytes of UDP and ICMP payload; more than the MTU makes fragments. 16 unless said. */
  size?: number
}

/** What the sender does from now on; it begins with nothing. */
export interface SenderCommand {
  destinations: Destination[]
}

/** Kinds of traffic that a sender sends to each IPv4 destination, and to IPv6 ones as `ipv6`. */
export const sentKinds = ['tcp', 'udp', 'icmp', 'dns', 'ipv6'] as const

/** Packets that left a client's IP stack by `net1`: of TCP those that begin a connection. */
export type Sent = Record<(typeof sentKinds)[number] | 'large', number>

/** Adds up what several clients sent. */
export function sumSent(all: readonly Sent[]): Sent {
  const sum = (kind: keyof Sent) => all.reduce((total, sent) => total + sent[kind], 0)
  return {
    tcp: sum('tcp'),
    udp: sum('udp'),
    icmp: sum('icmp'),
    dns: sum('dns'),
    ipv6: sum('ipv6'),
    large: sum('large'),
  }
}
