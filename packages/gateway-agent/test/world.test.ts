import { expect, test } from 'vitest'
import { parseNameServers } from '../src/world.ts'

test('name servers are those of resolv.conf, as rules of the kernel name them', () => {
  const text = [
    'search cluster.local',
    '  nameserver\t10.96.0.10',
    'nameserver FD00:0::A',
    'nameserver fd00::a',
    'nameserver fe80::1%eth0',
    'nameserver 10.96.0.010',
    'nameserver name.example',
    '# nameserver 192.0.2.1',
    'nameserver',
    '192.0.2.2',
  ]
  expect(parseNameServers(`${text.join('\n')}\n`)).toEqual(['10.96.0.10', 'fd00::a', 'fe80::1'])
})
