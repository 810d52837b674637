/** Reports as iperf3 3.12 prints them, without what is not read. */
import { expect, test } from 'vitest'
import { readResult } from '../src/iperf.ts'

test('TCP: what was received', () => {
  const end = {
    sum_sent: { bytes: 2_000_000, bits_per_second: 16_000_000 },
    sum_received: { bytes: 1_000_000, bits_per_second: 8_000_000 },
  }
  expect(readResult(JSON.stringify({ end }))).toMatchObject({ bytes: 1_000_000, bitsPerSecond: 8_000_000 })
})

test('UDP: what was sent, less what was lost', () => {
  const end = { sum: { seconds: 2, bytes: 6400, bits_per_second: 25_600, packets: 100, lost_packets: 20 } }
  expect(readResult(JSON.stringify({ end }))).toEqual({
    bytes: 5120,
    bitsPerSecond: 20_480,
    packets: 80,
    packetsPerSecond: 40,
  })
})

test('what went wrong is told', () => {
  expect(() => readResult(JSON.stringify({ error: 'unable to connect to server' }))).toThrow(
    'iperf3: unable to connect to server',
  )
})
