/** The simple alternative: one gateway, no routers, clients that point at the gateway itself. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bringUp, exitAddress, internetAddress, takeDown, type Capture, type Flows, type Lab } from '@vpn-gateway/lab'

let lab: Lab
let capture: Capture

beforeAll(async () => {
  lab = await bringUp({ variant: 'single' })
  capture = await lab.startCapture()
  await capture.control('client-0')
})

afterAll(async () => {
  await capture?.stop()
  lab?.close()
  await takeDown()
})

async function withFlows(work: (flows: Flows) => Promise<void>): Promise<void> {
  const flows = await lab.startFlows({ client: 'client-0', count: 20, intervalMs: 300 })
  try {
    await work(flows)
  } finally {
    await flows.stop()
  }
}

test('clients are routed to the gateway itself', async () => {
  const routes = await lab.exec('client-1', ['ip', 'route', 'get', internetAddress])
  expect(routes).toContain('via 192.168.50.248 dev net1')
})

test('flows go through the one exit, and an agent that is killed and started again costs none', async () => {
  await withFlows(async (flows) => {
    await flows.mark()
    await lab.agents.restart('gateway-0')
    const report = await flows.report()
    expect(report).toMatchObject({ alive: 20, lost: 0, stalled: 0, perExit: { [exitAddress(0)]: 20 } })
  })
})

test('a forwarded port reaches the service', async () => {
  const inbound = await lab.inbound('provider-0')
  expect(inbound.seenBy).toBe(inbound.gateway)
})

test('without the tunnel nothing gets out, and a client is told so', async () => {
  await lab.agents.kill('gateway-0')
  await lab.exec('gateway-0', ['ip', 'link', 'del', 'wg0'])
  const reached = await lab
    .exec('client-0', ['timeout', '5', 'bash', '-c', `echo x >/dev/tcp/${internetAddress}/9000`])
    .then(
      () => 'reached',
      (error: unknown) => String(error),
    )
  expect(reached).toMatch(/unreachable|No route to host|prohibited/i)
  lab.agents.start('gateway-0')
  await lab.agents.awaitReady('gateway-0')
  await withFlows(async (flows) => expect((await flows.report()).alive).toBe(20))
})

test('a gateway whose agent has not run yet forwards as its node does, and lets nothing past', async () => {
  await lab.faults.killGateway('gateway-0')
  await lab.faults.attachGateway('gateway-0')
  // As a pod has it from its node, which forwards for all of its pods.
  await lab.exec('gateway-0', ['sysctl', '-qw', 'net.ipv4.ip_forward=1'])
  expect(await lab.exec('gateway-0', ['iptables-save'])).not.toContain('VG-')
  const reached = await lab
    .exec('client-0', ['timeout', '20', 'bash', '-c', `echo x >/dev/tcp/${internetAddress}/9000`], {
      timeoutMs: 60_000,
    })
    .then(
      () => 'reached',
      () => 'not reached',
    )
  expect(reached).toBe('not reached')
  await lab.faults.reviveGateway('gateway-0')
  expect(await lab.exec('gateway-0', ['ip', 'route', 'get', '198.51.100.20'])).toContain('dev eth0')
  await withFlows(async (flows) => expect((await flows.report()).alive).toBe(20))
})

test('not one packet left outside the tunnel', async () => {
  const { total } = await capture.count()
  expect({ total, samples: await capture.samples() }).toEqual({ total: 0, samples: [] })
})
