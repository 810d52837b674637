/** Lines as Linux 6.1 prints them. */
import { expect, test } from 'vitest'
import {
  parseBusySeconds,
  parseGauge,
  parseMegabytes,
  parseParent,
  parseProcessSeconds,
  parseSent,
} from '../src/proc.ts'

test('work of the processors leaves out waiting', () => {
  const stat = 'cpu  1000 200 300 99999 500 10 90 70 0 0\ncpu0 500 100 150 49999 250 5 45 35 0 0\n'
  expect(parseBusySeconds(stat)).toBe(16)
})

test('a program may have any name, and its ended children count', () => {
  const stat = '42 (a) S 1 (x) S 1 42 42 0 -1 4194560 100 200 0 0 150 50 25 75 20 0 11 0 12345 1 2'
  expect(parseProcessSeconds(stat)).toBe(3)
  expect(parseParent(stat)).toBe(1)
})

test('memory in megabytes', () => {
  const status = 'Name:\tnode\nVmRSS:\t   62500 kB\nRssAnon:\t   31250 kB\n'
  expect(parseMegabytes(status, 'VmRSS')).toBe(64)
  expect(parseMegabytes(status, 'RssAnon')).toBe(32)
  expect(parseMegabytes(status, 'VmSwap')).toBeNaN()
})

test('a metric without labels', () => {
  const page =
    '# TYPE nodejs_heap_size_used_bytes gauge\nnodejs_heap_size_used_bytes 12000000\nnodejs_heap_size_used_bytes_x 1\n'
  expect(parseGauge(page, 'nodejs_heap_size_used_bytes')).toBe(12_000_000)
  expect(parseGauge(page, 'nodejs_heap_size')).toBeNaN()
})

test('what a link has sent', () => {
  const dev = [
    'Inter-|   Receive                                                |  Transmit',
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed',
    '    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0',
    '  net2: 5000      50    0    0    0     0          0         0    70000     600    0    0    0     0       0          0',
  ].join('\n')
  expect(parseSent(dev, 'net2')).toEqual({ bytes: 70_000, packets: 600 })
  expect(() => parseSent(dev, 'net1')).toThrow('net1')
})
