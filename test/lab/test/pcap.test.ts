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
