/** Messages of NAT-PMP (RFC 6886, section 3), version 0, as bytes. Pure. */

/** UDP port that servers listen on. */
export const natPmpPort = 5351

export type MappingProtocol = 'tcp' | 'udp'

/** What a client asks: the server's public address, or a port for a number of seconds. */
export type NatPmpRequest =
  | { kind: 'address' }
  | {
      kind: 'mapping'
      protocol: MappingProtocol
      internalPort: number
      /** The port that would be welcome; 0 leaves it to the server. */
      externalPort: number
      /** Seconds. */
      lifetime: number
    }

/** What a server answers; `epoch` is the seconds since it began to remember mappings. */
export type NatPmpResponse =
  | { kind: 'address'; epoch: number; address: string }
  | {
      kind: 'mapping'
      protocol: MappingProtocol
      epoch: number
      internalPort: number
      externalPort: number
      /** Seconds granted. */
      lifetime: number
    }
  | { kind: 'failure'; opcode: number; epoch: number; result: number }

const opcodes = { address: 0, udp: 1, tcp: 2 } as const
/** Responses have the opcode of their request and this bit. */
const responseBit = 0x80

/** The opcode of a request, 0 to 2. */
export function opcodeOf(request: NatPmpRequest): number {
  return opcodes[request.kind === 'address' ? 'address' : request.protocol]
}

/** A request as it is sent. */
export function encodeRequest(request: NatPmpRequest): Buffer {
  if (request.kind === 'address') return Buffer.from([0, opcodes.address])
  const bytes = Buffer.alloc(12)
  bytes.writeUInt8(opcodeOf(request), 1)
  bytes.writeUInt16BE(request.internalPort, 4)
  bytes.writeUInt16BE(request.externalPort, 6)
  bytes.writeUInt32BE(request.lifetime, 8)
  return bytes
}

/** A response as it was received; undefined when it is none, or is too short for what it says it is. */
export function decodeResponse(bytes: Buffer): NatPmpResponse | undefined {
  if (bytes.length < 8 || bytes.readUInt8(0) !== 0 || (bytes.readUInt8(1) & responseBit) === 0) return undefined
  const opcode = bytes.readUInt8(1) & ~responseBit
  const result = bytes.readUInt16BE(2)
  const epoch = bytes.readUInt32BE(4)
  if (result !== 0) return { kind: 'failure', opcode, epoch, result }
  if (opcode === opcodes.address && bytes.length >= 12) {
    return { kind: 'address', epoch, address: [...bytes.subarray(8, 12)].join('.') }
  }
  if ((opcode !== opcodes.udp && opcode !== opcodes.tcp) || bytes.length < 16) return undefined
  return {
    kind: 'mapping',
    protocol: opcode === opcodes.tcp ? 'tcp' : 'udp',
    epoch,
    internalPort: bytes.readUInt16BE(8),
    externalPort: bytes.readUInt16BE(10),
    lifetime: bytes.readUInt32BE(12),
  }
}

const results: Readonly<Record<number, { reason: string; text: string }>> = {
  1: { reason: 'unsupported-version', text: 'the server does not speak this version of NAT-PMP' },
  2: { reason: 'refused', text: 'the server refuses port mappings, to all or to this tunnel' },
  3: { reason: 'network-failure', text: 'the server has no public address at the moment' },
  4: { reason: 'out-of-resources', text: 'the server has no port left' },
  5: { reason: 'unsupported-opcode', text: 'the server cannot map this protocol' },
}

/** A result code (RFC 6886, section 3.5) as a metric's label and as a sentence. */
export function explainResult(code: number): { reason: string; text: string } {
  return (
    results[code] ?? { reason: 'other', text: `the server failed with result code ${code}, which no standard names` }
  )
}
