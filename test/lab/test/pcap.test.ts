import { describe, expect, it } from 'vitest'
import { parsePcap } from '../src/capture/pcap.ts'

/** A capture file of the link type with the given packets. */
function capture(linkType: number, packets: Buffer[]): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4, 0)
  header.writeUInt32LE(linkType, 20)
  const records = packets.flatMap((packet) => {
    const record = Buffer.alloc(16)
    record.writeUInt32LE(packet.length, 8)
    record.writeUInt32LE(packet.length, 12)
    return [record, packet]
  })
  return Buffer.concat([header, ...records])
}

/** A cooked packet: protocol, reserved, interface index, … as in LINKTYPE_LINUX_SLL2. */
function cooked(interfaceIndex: number): Buffer {
  const packet = Buffer.alloc(48)
  packet.writeUInt32BE(interfaceIndex, 4)
  return packet
}

describe('parsePcap', () => {
  it('tells the interface of cooked packets', () => {
    const file = capture(276, [cooked(101), cooked(102), cooked(101)])
    expect(parsePcap(file).map(({ interfaceIndex }) => interfaceIndex)).toEqual([101, 102, 101])
  })

  it('counts Ethernet packets', () => {
    expect(parsePcap(capture(1, [Buffer.alloc(60), Buffer.alloc(90)]))).toHaveLength(2)
  })

  it('refuses a file that ends within a packet', () => {
    const file = capture(1, [Buffer.alloc(60)])
    expect(() => parsePcap(file.subarray(0, -1))).toThrow('record at 24 is cut off')
    expect(() => parsePcap(file.subarray(0, 30))).toThrow('record at 24 is cut off')
  })

  it('refuses what is no capture file', () => {
    expect(() => parsePcap(Buffer.alloc(40))).toThrow('not a little-endian pcap file')
  })
})

describe('kinds of packets', () => {
  /** An Ethernet frame with an IPv4 header, and the first bytes of what it carries. */
  function ipv4(protocol: number, destinationPort: number): Buffer {
    const packet = Buffer.alloc(60)
    packet.writeUInt16BE(0x0800, 12)
    packet.writeUInt8(0x45, 14)
    packet.writeUInt8(protocol, 14 + 9)
    packet.writeUInt16BE(destinationPort, 14 + 20 + 2)
    return packet
  }
  const kinds = (...packets: Buffer[]) => parsePcap(capture(1, packets)).map(({ kind }) => kind)

  it('are told by protocol and port', () => {
    expect(kinds(ipv4(6, 443), ipv4(17, 9), ipv4(1, 0), ipv4(17, 53), ipv4(6, 53), ipv4(47, 0))).toEqual([
      'tcp',
      'udp',
      'icmp',
      'dns',
      'dns',
      'other',
    ])
  })

  it('are told in cooked packets too', () => {
    const packet = cooked(101)
    packet.writeUInt16BE(0x86dd, 0)
    expect(parsePcap(capture(276, [packet]))).toEqual([{ kind: 'ipv6', interfaceIndex: 101 }])
  })

  it('are unknown of what is cut off, and of what is no IP', () => {
    expect(kinds(ipv4(17, 9).subarray(0, 20), Buffer.alloc(60))).toEqual(['other', 'other'])
  })
})
