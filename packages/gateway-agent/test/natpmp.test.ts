import fc from 'fast-check'
import { isIPv4 } from 'node:net'
import { describe, expect, test } from 'vitest'
import { answers } from '../src/natpmp-socket.ts'
import { decodeResponse, encodeRequest, explainResult, type NatPmpRequest } from '../src/natpmp.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('requests, byte for byte as RFC 6886 draws them', () => {
  test.each<[NatPmpRequest, string]>([
    [{ kind: 'address' }, '00 00'],
    [
      { kind: 'mapping', protocol: 'udp', internalPort: 0x1234, externalPort: 0x5678, lifetime: 7200 },
      '00 01 0000 1234 5678 00001c20',
    ],
    [
      { kind: 'mapping', protocol: 'tcp', internalPort: 0, externalPort: 0, lifetime: 4294967295 },
      '00 02 0000 0000 0000 ffffffff',
    ],
  ])('%o', (request, bytes) => {
    expect(encodeRequest(request)).toEqual(hex(bytes))
  })
})

describe('responses', () => {
  test.each([
    // Recorded of miniupnpd 2.3.1.
    ['an address', '00 80 0000 00000002 0b000015', { kind: 'address', epoch: 2, address: '11.0.0.21' }],
    [
      'a port for TCP',
      '00 82 0000 00000002 1ae1 1ae1 00000014',
      { kind: 'mapping', protocol: 'tcp', epoch: 2, internalPort: 6881, externalPort: 6881, lifetime: 20 },
    ],
    [
      'a refusal, with the fields of a grant behind it',
      '00 81 0002 00000002 0000 c350 00000014',
      { kind: 'failure', opcode: 1, epoch: 2, result: 2 },
    ],
    ['a failure as short as can be', '00 80 0003 00000009', { kind: 'failure', opcode: 0, epoch: 9, result: 3 }],
    ['longer than it need be', '00 80 0000 00000002 0b000015 ff', { kind: 'address', epoch: 2, address: '11.0.0.21' }],
    ['nothing', '', undefined],
    ['cut short', '00 82 0000 00000002 1ae1 1ae1 000000', undefined],
    ['a request', '00 02 0000 1ae1 1ae1 00000014', undefined],
    ['of PCP, version 2', '02 82 0000 00000002 1ae1 1ae1 00000014', undefined],
    ['of an unknown opcode', '00 83 0000 00000002 1ae1 1ae1 00000014', undefined],
  ])('%s', (_name, bytes, expected) => {
    expect(decodeResponse(hex(bytes))).toEqual(expected)
  })

  const port = fc.integer({ min: 0, max: 65535 })
  const uint32 = fc.integer({ min: 0, max: 4294967295 })

  test('what a server makes of a request is read as it was meant, and as the answer to that request', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('tcp', 'udp'),
        port,
        port,
        uint32,
        uint32,
        (protocol, internal, external, life, epoch) => {
          const request = {
            kind: 'mapping',
            protocol,
            internalPort: internal,
            externalPort: 0,
            lifetime: life,
          } as const
          const sent = encodeRequest(request)
          const answer = Buffer.alloc(16)
          answer.writeUInt8(sent.readUInt8(1) + 128, 1)
          answer.writeUInt32BE(epoch, 4)
          sent.copy(answer, 8, 4, 6)
          answer.writeUInt16BE(external, 10)
          sent.copy(answer, 12, 8, 12)
          const response = decodeResponse(answer)
          expect(response).toEqual({
            kind: 'mapping',
            protocol,
            epoch,
            internalPort: internal,
            externalPort: external,
            lifetime: life,
          })
          expect(response !== undefined && answers(response, request)).toBe(true)
          // Late answers to what was asked before must not be taken for this one's.
          expect(response !== undefined && answers(response, { kind: 'address' })).toBe(false)
          const other = { ...request, internalPort: internal === 1 ? 2 : 1 }
          expect(response !== undefined && answers(response, other)).toBe(internal === 0)
          // Where the server was left to pick one, it may say which.
          expect(response !== undefined && answers(response, { ...request, internalPort: 0 })).toBe(true)
        },
      ),
    )
  })

  test('no bytes make it throw, and what it reads is in range', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const response = decodeResponse(Buffer.from(bytes))
        const numbers = response?.kind === 'mapping' ? [response.internalPort, response.externalPort] : []
        expect(numbers.every((number) => number >= 0 && number < 65536)).toBe(true)
        expect(response?.kind === 'address' ? isIPv4(response.address) : true).toBe(true)
        expect(response?.kind === 'failure' ? response.result > 0 : true).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })
})

test('each result code of the standard has a word and a sentence of its own, others their number', () => {
  const explained = [1, 2, 3, 4, 5].map(explainResult)
  expect(new Set(explained.map(({ reason }) => reason)).size).toBe(5)
  expect(explained[1]).toEqual({
    reason: 'refused',
    text: 'the server refuses port mappings, to all or to this tunnel',
  })
  expect(explainResult(99)).toEqual({
    reason: 'other',
    text: 'the server failed with result code 99, which no standard names',
  })
})
