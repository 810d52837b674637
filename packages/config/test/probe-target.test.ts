import { expect, test } from 'vitest'
import { parseProbeTarget } from '../src/probe-target.ts'

test.each([
  ['1.1.1.1:443', { kind: 'tcp', address: '1.1.1.1', port: 443 }],
  ['icmp:9.9.9.9', { kind: 'icmp', address: '9.9.9.9' }],
  ['http://1.1.1.1', { kind: 'http', url: 'http://1.1.1.1' }],
  ['http://1.1.1.1:8080/up?x=1', { kind: 'http', url: 'http://1.1.1.1:8080/up?x=1' }],
])('%s', (text, target) => {
  expect(parseProbeTarget(text)).toEqual(target)
})

test.each([
  '1.1.1.1',
  '1.1.1.1:0',
  '1.1.1.1:65536',
  '1.1.1:443',
  'example.com:443',
  'icmp:1.1.1.1:7',
  'icmp:',
  'icmp:example.com',
  'http://example.com/',
  'http://1/',
  'http://1.1.1.1:99999/',
  'https://1.1.1.1/',
  'http://user@1.1.1.1/',
  '',
])('not %s', (text) => {
  expect(parseProbeTarget(text)).toBeUndefined()
})
