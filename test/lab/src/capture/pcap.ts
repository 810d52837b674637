/** Reads capture files (pcap-savefile(5)) as tcpdump writes them on a little-endian machine. */

const FILE_HEADER = 24
const RECORD_HEADER = 16
const MAGIC = 0xa1b2c3d4
/** LINKTYPE_LINUX_SLL2: 20 bytes of header, the interface index at offset 4, big-endian. */
const LINUX_SLL2 = 276

export interface CapturedPacket {
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
    packets.push(linkType === LINUX_SLL2 ? { interfaceIndex: file.readUInt32BE(at + RECORD_HEADER + 4) } : {})
    at = next
  }
  return packets
}
