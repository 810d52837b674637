/** The reconcile core against a real kernel, in a namespace of its own: what is applied is what is read back. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRunner, wireguardPublicKey, type DesiredState, type Owner, type Runner } from '@vpn-gateway/kernel'
import { apply, createReconciler, describeStep, observe, plan } from '@vpn-gateway/reconcile'

const namespace = 'reconcile-test'
const host = createRunner()
/** Every command of the test runs in the namespace; sysctls, which need none, are left out here. */
const runner: Runner = {
  run: (invocation) => host.run({ ...invocation, argv: ['ip', 'netns', 'exec', namespace, ...invocation.argv] }),
}
const owner: Owner = {
  alias: 'vpn-gateway',
  protocol: 151,
  rulePriorities: [1500, 1599],
  chainPrefix: 'VG-',
  nftTables: ['vpn_gateway_test'],
  fdbDevices: ['x0'],
}
const privateKey = 'YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='
const presharedKey = 'w8O3lS32qA7G3vRgYtmcO+reqVhQXbewYvC0dMxqxmE='
const peerKey = 'oZFSxbjvZa68/toc4sxRg2qIqe0TxGRbrXo+flJjQiI='

const desired: DesiredState = {
  links: [
    {
      name: 'x0',
      kind: 'vxlan',
      mtu: 1450,
      up: true,
      master: 'br0',
      mac: '02:00:00:00:00:05',
      vxlan: { id: 5, port: 4789, local: '10.0.0.1', learning: true, udpChecksum: false },
    },
    { name: 'br0', kind: 'bridge', mtu: 1450, up: true, mac: '02:00:00:00:00:06' },
    { name: 'wg0', kind: 'wireguard', mtu: 1420, up: true },
  ],
  wireguard: [
    {
      name: 'wg0',
      privateKey,
      publicKey: wireguardPublicKey(privateKey),
      fwmark: 0x97,
      peers: [
        {
          publicKey: peerKey,
          presharedKey,
          endpoint: '198.51.100.21:51820',
          allowedIps: ['0.0.0.0/0', '::/0'],
          persistentKeepalive: 25,
        },
      ],
    },
  ],
  addresses: [
    { dev: 'br0', address: '10.0.0.1/24', family: 4 },
    { dev: 'wg0', address: '10.9.0.2/32', family: 4 },
  ],
  routes: [
    { family: 4, table: 151, type: 'unicast', dst: 'default', nexthops: [{ dev: 'wg0' }] },
    { family: 4, table: 151, type: 'unreachable', dst: 'default', metric: 4278198272, nexthops: [] },
    { family: 4, table: 152, type: 'local', dst: 'default', nexthops: [{ dev: 'lo' }] },
    {
      family: 4,
      table: 153,
      type: 'unicast',
      dst: 'default',
      nexthops: [
        { via: '10.0.0.7', dev: 'br0' },
        { via: '10.0.0.8', dev: 'br0', weight: 3 },
      ],
    },
    { family: 4, table: 254, type: 'unicast', dst: '192.168.50.0/25', nexthops: [{ via: '10.0.0.7', dev: 'br0' }] },
    { family: 6, table: 151, type: 'unreachable', dst: 'default', nexthops: [] },
  ],
  rules: [
    { family: 4, priority: 1500, iif: 'net1', table: 151 },
    { family: 4, priority: 1501, fwmark: { mark: 2, mask: 2 }, table: 151 },
    { family: 4, priority: 1502, from: '192.168.50.0/24', ipProtocol: 'tcp', table: 152 },
    { family: 6, priority: 1500, iif: 'net1', table: 151 },
  ],
  fdb: [
    { dev: 'x0', mac: '00:00:00:00:00:00', dst: '10.0.0.2', state: 'permanent' },
    { dev: 'x0', mac: '00:00:00:00:00:00', dst: '10.0.0.3', state: 'permanent' },
  ],
  iptables: [
    {
      family: 4,
      table: 'filter',
      policies: { FORWARD: 'DROP' },
      chains: {
        'VG-FORWARD': [
          '-s 192.168.50.0/24 -i net1 -o wg0 -j ACCEPT',
          '-i wg0 -o net1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        ],
      },
      jumps: { FORWARD: 'VG-FORWARD' },
    },
    {
      family: 4,
      table: 'nat',
      policies: {},
      chains: { 'VG-POSTROUTING': ['-o wg0 -j MASQUERADE'] },
      jumps: { POSTROUTING: 'VG-POSTROUTING' },
    },
    { family: 6, table: 'filter', policies: { FORWARD: 'DROP' }, chains: {}, jumps: {} },
  ],
  nft: [
    {
      family: 'inet',
      name: 'vpn_gateway_test',
      body: '\tchain late {\n\t\ttype filter hook input priority 150; policy accept;\n\t\tiifname "net1" meta mark 0x00000001 counter drop\n\t}',
    },
  ],
}

const steps = async (wanted: DesiredState) => plan(wanted, await observe(runner, wanted, owner), owner)

beforeAll(async () => {
  await host.run({ argv: ['ip', 'netns', 'add', namespace] })
  await runner.run({ argv: ['ip', 'link', 'set', 'lo', 'up'] })
})

afterAll(async () => {
  await host.run({ argv: ['ip', 'netns', 'del', namespace] })
})

test('what was applied is read back: a second plan is empty', async () => {
  const failures = await apply(runner, await steps(desired))
  expect(failures.map(({ step, error }) => `${describeStep(step)}: ${error.message}`)).toEqual([])
  expect((await steps(desired)).map(describeStep)).toEqual([])
})

test('a changed desire touches only what changed', async () => {
  const changed: DesiredState = {
    ...desired,
    fdb: desired.fdb?.slice(0, 1) ?? [],
    rules: desired.rules?.slice(0, 2) ?? [],
  }
  expect((await steps(changed)).map(describeStep)).toEqual([
    'rule del priority 1502 table 152',
    'rule del priority 1500 table 151',
    'fdb del 00:00:00:00:00:00 dst 10.0.0.3 dev x0',
  ])
})

test('a rule of somebody else stays, and a jump that was pushed down comes first again', async () => {
  await runner.run({ argv: ['iptables', '-I', 'FORWARD', '1', '-i', 'docker0', '-j', 'ACCEPT'] })
  expect((await steps(desired)).map(describeStep)).toEqual(['iptables replace IPv4 filter: FORWARD'])
  expect(await apply(runner, await steps(desired))).toEqual([])
  expect(await runner.run({ argv: ['iptables', '-S', 'FORWARD'] })).toBe(
    '-P FORWARD DROP\n-A FORWARD -j VG-FORWARD\n-A FORWARD -i docker0 -j ACCEPT\n',
  )
})

test('the loop repairs what others break, by itself, and counts it', async () => {
  const silent = { info() {}, warn() {} }
  const reconciler = createReconciler({
    name: 'test',
    owner,
    runner,
    desired: () => desired,
    log: silent,
    watch: false,
  })
  await reconciler.start(new AbortController().signal)
  expect(reconciler.status()).toMatchObject({ converged: true, errors: [] })
  await runner.run({ argv: ['ip', 'link', 'del', 'wg0'] })
  await runner.run({ argv: ['iptables', '-F', 'VG-FORWARD'] })
  await runner.run({ argv: ['nft', 'delete', 'table', 'inet', 'vpn_gateway_test'] })
  const status = await reconciler.settled()
  expect(status).toMatchObject({ converged: true, errors: [] })
  expect(status.driftRepaired).toBeGreaterThanOrEqual(5)
  await reconciler.stop(AbortSignal.timeout(5000))
  expect((await steps(desired)).map(describeStep)).toEqual([])
})

test('a step that the kernel refuses is an error that names it; the rest is done', async () => {
  const wanted: DesiredState = {
    ...desired,
    routes: [
      ...(desired.routes ?? []),
      { family: 4, table: 254, type: 'unicast', dst: '198.18.0.0/15', nexthops: [{ via: '172.31.255.1', dev: 'br0' }] },
    ],
    rules: [...(desired.rules ?? []), { family: 4, priority: 1503, iif: 'net2', table: 151 }],
  }
  const failures = await apply(runner, await steps(wanted))
  expect(failures.map(({ step, error }) => [describeStep(step), error.message])).toEqual([
    ['route replace 198.18.0.0/15 table 254', expect.stringContaining('Nexthop has invalid gateway')],
  ])
  expect((await steps(wanted)).map(describeStep)).toEqual(['route replace 198.18.0.0/15 table 254'])
})
