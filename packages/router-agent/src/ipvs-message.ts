/**
 * Messages of IPVS' own sync protocol, version 1 (net/netfilter/ipvs/ip_vs_sync.c). The kernel says what happens to a
 * flow when it happens; a router that was not there then has to be told again, and the kernel has no way to be asked for
 * all. Its receiver takes these messages from whoever is on the router network.
 */
import type { IpvsConnection } from '@vpn-gateway/kernel'
import { syncMessageBytes } from './router.ts'

/** struct ip_vs_sync_mesg and struct ip_vs_sync_v4, in bytes. */
const headerSize = 8
const entrySize = 36
const version = 1

/** IP_VS_CONN_F_DROUTE, IP_VS_CONN_F_INACTIVE and IP_VS_CONN_F_TEMPLATE (uapi/linux/ip_vs.h). */
const directRoute = 0x0003
const inactive = 0x0100
const template = 0x1000

/** A template, which keeps a client with its gateway, is of protocol IP and has the mark for a destination. */
const protocols: Readonly<Record<string, number>> = { IP: 0, TCP: 6, UDP: 17 }

/** enum ip_vs_tcp_states, by the names that /proc/net/ip_vs_conn prints. A flow that is over is left out. */
const states: Readonly<Record<string, number>> = {
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECV: 3,
  FIN_WAIT: 4,
  CLOSE_WAIT: 7,
  LAST_ACK: 8,
  SYNACK: 10,
  UDP: 0,
  NONE: 0,
}

/** Flows that one message may hold: the receiver refuses one that is longer than its buffer. */
export const flowsPerMessage = Math.floor((syncMessageBytes - headerSize) / entrySize)

/** Whether a flow is worth telling: under way or a template, and IPv4. */
export function isTellable({ protocol, state, client }: IpvsConnection): boolean {
  const known = Object.hasOwn(protocols, protocol) && Object.hasOwn(states, state)
  return known && (protocol === 'IP') === (state === 'NONE') && !client.includes(':')
}

/** A flow with the mark of the virtual service by which the receiver finds its gateway. */
export interface MarkedFlow extends IpvsConnection {
  fwmark: number
  /** Whether an entry of the receiver that has another gateway is to end. */
  replaces?: boolean
}

/**
 * The entries that a flow is told by. For one that is not established, as UDP's never are, the receiver takes a message with
 * another gateway for the end of an older flow and keeps what it has. After both routers were active a UDP flow would go on
 * changing its gateway with the router; so it is told twice, first as if it were established, then as it is counted.
 */
export function entriesOf(flow: MarkedFlow): MarkedFlow[] {
  return flow.protocol === 'UDP' ? [{ ...flow, replaces: true }, flow] : [flow]
}

/** One message of flows that are tellable; `syncId` is the id of the sync daemons, 0 to 255. */
export function encodeFlows(flows: readonly MarkedFlow[], syncId: number): Buffer {
  const message = Buffer.alloc(headerSize + flows.length * entrySize)
  message.writeUInt8(syncId, 1)
  message.writeUInt16BE(message.length, 2)
  message.writeUInt8(flows.length, 4)
  message.writeInt8(version, 5)
  for (const [index, flow] of flows.entries()) writeFlow(message, headerSize + index * entrySize, flow)
  return message
}

function writeFlow(message: Buffer, at: number, flow: MarkedFlow): void {
  const protocol = protocols[flow.protocol] ?? 0
  // As the kernel counts: a UDP flow is inactive all its life.
  const counts = flow.state === 'ESTABLISHED' || flow.replaces === true
  const kind = flow.protocol === 'IP' ? template : counts ? 0 : inactive
  message.writeUInt8(protocol, at + 1)
  message.writeUInt16BE(entrySize, at + 2)
  message.writeUInt32BE(directRoute | kind, at + 4)
  message.writeUInt16BE(states[flow.state] ?? 0, at + 8)
  message.writeUInt16BE(flow.clientPort, at + 10)
  message.writeUInt16BE(flow.destinationPort, at + 12)
  message.writeUInt16BE(flow.realServerPort, at + 14)
  message.writeUInt32BE(flow.fwmark, at + 16)
  // Seconds; 0 would be the receiver's default for the state, which is as long as a whole new one.
  message.writeUInt32BE(Math.max(1, flow.expires), at + 20)
  for (const [index, address] of [flow.client, flow.destination, flow.realServer].entries()) {
    Buffer.from(address.split('.').map(Number)).copy(message, at + 24 + index * 4)
  }
}
