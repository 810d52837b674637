/** Reads capture files (pcap-savefile(5)) as tcpdump writes them on a little-endian machine. */

const FILE_HEADER = 24
const RECORD_HEADER = 16
const MAGIC = 0xa1b2c3d4
/** LINKTYPE_LINUX_SLL2: 20 bytes of header, the protocol at offset 0, the interface index at offset 4, big-endian. */
const LINUX_SLL2 = 276
const SLL2_HEADER = 20
/** LINKTYPE_ETHERNET: the protocol is the last two of 14 bytes. */
const ETHERNET_HEADER = 14

/** What a packet is, as far as leaks are told apart: DNS is what goes to port 53, by UDP or TCP. */
export type PacketKind = 'tcp' | 'udp' | 'icmp' | 'dns' | 'ipv6' | 'other'

export interface CapturedPacket {
  kind: PacketKind
  /** Interface index on capture; absent where the link type carries none. */
  interfaceIndex?: number
}

/** The packets of a capture file; a last record that is not all there yet is an error. */
export function parsePcap(file: Buffer): CapturedPacket[] {
  if (file.length < FILE_HEADER || file.readUInt32LE(0) !== MAGIC) throw new Error('not a little-endian pcap file')
  const linkType = file.readUInt32LE(20) & 0xffff
  const packets: CapturedPacket[] = []
  for (let at = FILE_HEADER; at < file.length;) {
    const next = at + RECORD_HEADER + (at + RECORD_HEADER <= file.length ? file.readUInt32LE(at + 8) : 0)
    if (at + RECORD_HEADER > file.length || next > file.length) throw new Error(`record at ${at} is cut off`)
    packets.push(parsePacket(file.subarray(at + RECORD_HEADER, next), linkType))
    at = next
  }
  return packets
}

function parsePacket(packet: Buffer, linkType: number): CapturedPacket {
  if (linkType !== LINUX_SLL2) return { kind: kindOf(packet, ETHERNET_HEADER - 2, ETHERNET_HEADER) }
  return { kind: kindOf(packet, 0, SLL2_HEADER), interfaceIndex: packet.readUInt32BE(4) }
}

/** IP protocol numbers (IANA). */
const ICMP = 1
const TCP = 6
const UDP = 17

function kindOf(packet: Buffer, protocolAt: number, ip: number): PacketKind {
  // Snapshots are long enough for all headers; a shorter packet has none.
  if (packet.length < ip + 20) return 'other'
  const protocol = packet.readUInt16BE(protocolAt)
  if (protocol === 0x86dd) return 'ipv6'
  if (protocol !== 0x0800) return 'other'
  const transport = packet.readUInt8(ip + 9)
  if (transport === ICMP) return 'icmp'
  if (transport !== TCP && transport !== UDP) return 'other'
  const ports = ip + (packet.readUInt8(ip) & 0xf) * 4
  if (packet.length >= ports + 4 && packet.readUInt16BE(ports + 2) === 53) return 'dns'
  return transport === TCP ? 'tcp' : 'udp'
}
