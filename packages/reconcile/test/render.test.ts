import { expect, test } from 'vitest'
import { batches, type Step } from '@vpn-gateway/reconcile'

function inputs(steps: Step[]) {
  return batches(steps).map((batch) =>
    batch.via === 'sysctl' ? ['sysctl'] : [batch.invocation.argv.join(' '), batch.invocation.stdin],
  )
}

test('neighbouring steps of one tool are one call, and the order stays', () => {
  const steps: Step[] = [
    { object: 'link', action: 'add', link: { name: 'br0', kind: 'bridge', mtu: 1450 }, alias: 'vpn-gateway' },
    { object: 'address', action: 'add', dev: 'br0', address: '10.0.0.1/24' },
    { object: 'sysctl', action: 'set', key: 'net.ipv4.ip_forward', value: '1' },
    {
      object: 'rule',
      action: 'add',
      protocol: 151,
      rule: { family: 4, priority: 1500, fwmark: { mark: 2, mask: 2 }, table: 151 },
    },
  ]
  expect(inputs(steps)).toEqual([
    [
      'ip -4 -force -batch -',
      'link add name br0 mtu 1450 type bridge\nlink set dev br0 alias vpn-gateway\naddress add 10.0.0.1/24 dev br0\n',
    ],
    ['sysctl'],
    ['ip -4 -force -batch -', 'rule add priority 1500 fwmark 0x2/0x2 lookup 151 protocol 151\n'],
  ])
})

test('a multipath route ends with its next hops', () => {
  const nexthops = [
    { via: '10.0.0.1', dev: 'net1' },
    { via: '10.0.0.2', dev: 'net1', weight: 3 },
  ]
  const [[, text] = []] = inputs([
    {
      object: 'route',
      action: 'replace',
      protocol: 152,
      route: { family: 4, table: 153, type: 'unicast', dst: 'default', nexthops },
    },
  ])
  expect(text).toBe(
    'route replace default table 153 protocol 152 nexthop via 10.0.0.1 dev net1 weight 1 nexthop via 10.0.0.2 dev net1 weight 3\n',
  )
})

test('an iptables table is one transaction: chains before jumps, old jumps out before new ones in', () => {
  const [[argv, text] = []] = inputs([
    {
      object: 'iptables',
      action: 'replace',
      change: {
        family: 4,
        table: 'filter',
        policies: { FORWARD: 'DROP' },
        chains: { 'VG-FORWARD': ['-i net1 -o wg0 -j ACCEPT'] },
        jumps: { FORWARD: 'VG-FORWARD' },
        strayJumps: [{ chain: 'FORWARD', rule: '-j VG-OLD' }],
        obsoleteChains: ['VG-OLD'],
      },
    },
  ])
  expect(argv).toBe('iptables-restore --noflush --wait 5')
  expect(text?.split('\n')).toEqual([
    '*filter',
    ':FORWARD DROP [0:0]',
    ':VG-FORWARD - [0:0]',
    ':VG-OLD - [0:0]',
    '-A VG-FORWARD -i net1 -o wg0 -j ACCEPT',
    '-D FORWARD -j VG-OLD',
    '-I FORWARD 1 -j VG-FORWARD',
    '-X VG-OLD',
    'COMMIT',
    '',
  ])
})

test('WireGuard keys travel on standard input, never as arguments', () => {
  const privateKey = 'YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='
  const [[argv, text] = []] = inputs([
    { object: 'wireguard', action: 'sync', device: { name: 'wg0', privateKey, publicKey: 'p', peers: [] } },
  ])
  expect(argv).toContain('wg syncconf')
  expect(argv).not.toContain(privateKey)
  expect(text).toContain(privateKey)
})
