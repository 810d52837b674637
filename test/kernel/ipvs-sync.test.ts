/** What a standby's kernel makes of the flows that it is told of, with IPVS' own receiver. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRunner, parseIpvs } from '@vpn-gateway/kernel'
import { encodeFlows, entriesOf, type MarkedFlow } from '@vpn-gateway/router-agent/ipvs-message'
import { sendingMessages } from '../bench/src/tell-flows.ts'
import { awaitCondition } from '../lab/src/wait.ts'

const router = 'sync-router'
const teller = 'sync-teller'
const runner = createRunner()
const shell = (namespace: string, script: string, stdin = '') =>
  runner.run({ argv: ['ip', 'netns', 'exec', namespace, 'bash', '-euc', script], stdin })
const syncId = 51
const [first, second] = ['192.168.50.248', '192.168.50.249']

const udp: MarkedFlow = {
  protocol: 'UDP',
  client: '192.168.50.10',
  clientPort: 40_000,
  destination: '203.0.113.10',
  destinationPort: 9000,
  realServer: first,
  realServerPort: 9000,
  state: 'UDP',
  expires: 250,
  fwmark: 1,
}

beforeAll(async () => {
  for (const namespace of [router, teller]) await runner.run({ argv: ['ip', 'netns', 'add', namespace] })
  await shell(router, `ip link add net2 type veth peer name net2 netns ${teller}`)
  await shell(router, 'ip address add 192.168.51.1/24 dev net2; ip link set lo up; ip link set net2 up')
  await shell(teller, 'ip address add 192.168.51.2/24 dev net2; ip link set lo up; ip link set net2 up')
  await shell(router, `ipvsadm -A -f 1 -s wrr; for to in ${first} ${second}; do ipvsadm -a -f 1 -r $to -g; done`)
  await shell(router, `ipvsadm --start-daemon backup --mcast-interface net2 --syncid ${syncId}`)
})

afterAll(async () => {
  await shell(router, 'ipvsadm --stop-daemon backup').catch(() => undefined)
  for (const namespace of [router, teller]) await runner.run({ argv: ['ip', 'netns', 'del', namespace] })
})

async function tell(flows: readonly MarkedFlow[]): Promise<void> {
  const { argv, stdin } = sendingMessages('192.168.51.2', [encodeFlows(flows, syncId).toString('base64')])
  await runner.run({ argv: ['ip', 'netns', 'exec', teller, ...argv], stdin })
}

/** Gateways of the entries of a client's port. */
async function gatewaysOf(port: number): Promise<string[]> {
  const listing = await shell(router, 'ipvsadm -Lcn')
  return [...listing.matchAll(new RegExp(`192\\.168\\.50\\.10:${port} +\\S+ +([\\d.]+):`, 'g'))].map(
    ([, to = '']) => to,
  )
}

/** Tells of flows, and waits until the last of them, which is a new one, is there. */
async function tellAndWait(flows: readonly MarkedFlow[], marker: number): Promise<void> {
  await awaitCondition(
    'what was told to be in the table',
    async () => {
      await tell([...flows, { ...udp, clientPort: marker }])
      return (await gatewaysOf(marker)).length > 0 || undefined
    },
    { timeoutMs: 60_000 },
  )
}

test('a UDP flow that the standby knows with another gateway gets the one that it is told', async () => {
  await tellAndWait([udp], 1)
  expect(await gatewaysOf(udp.clientPort)).toEqual([first])

  // As the kernel itself tells of it: the receiver keeps what it has.
  const moved = { ...udp, realServer: second }
  await tellAndWait([moved], 2)
  expect(await gatewaysOf(udp.clientPort)).toEqual([first])

  await tellAndWait(entriesOf(moved), 3)
  await awaitCondition(
    'the older entry to be gone',
    async () => ((await gatewaysOf(udp.clientPort)).join() === second ? true : undefined),
    { timeoutMs: 10_000 },
  )
  const [service] = parseIpvs(await shell(router, 'cat /proc/net/ip_vs'))
  // UDP is never counted as active.
  expect(service?.realServers.map(({ activeConnections }) => activeConnections)).toEqual([0, 0])
})
