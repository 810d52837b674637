/** The real gateway-agent against a real WireGuard peer: wrong input, traffic, drift, drain. */
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { wireguardPublicKey } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openFlow } from './client-flow.ts'
import {
  createGatewayWorld,
  dial,
  exampleSystem,
  key,
  tunnelText,
  until,
  type Agent,
  type Provider,
} from './gateway-world.ts'

const provider: Provider = {
  dev: 'wg0',
  port: 51820,
  privateKey: key('provider'),
  gatewayKey: key('gateway'),
  gatewayAddress: '10.9.0.2',
}
const tunnel = tunnelText(provider, '198.51.100.20:51820')
// So long that the end of a drain is no deadline's doing.
const system = exampleSystem.replace('drainSeconds: 20', 'drainSeconds: 100')
const made = await createGatewayWorld('ga', system)
const { gateway, client, world, inGateway, inClient, inWorld, directory } = made
const { start, startAgent, ask, ready, metric, hears, leaked } = made

/** Everything that an agent could have changed; counters, times and ages left out. */
async function kernelState(): Promise<string> {
  const parts = await Promise.all([
    inGateway({ argv: ['ip', '-details', 'link'] }),
    // Without addresses that are only lent: the health address comes and goes with the tunnel.
    inGateway({ argv: ['ip', 'address', 'show', 'permanent'] }),
    inGateway({ argv: ['ip', 'route', 'show', 'table', 'all'] }),
    inGateway({ argv: ['ip', 'rule'] }),
    inGateway({ argv: ['iptables-save'] }),
    inGateway({ argv: ['ip6tables-save'] }),
    inGateway({ argv: ['sysctl', 'net.ipv4.ip_forward', 'net.ipv4.conf.all.rp_filter'] }),
  ])
  return (
    parts
      .join('\n')
      .split('\n')
      // Duplicate address detection changes link-local addresses for a second by itself; the lent health address has a route.
      .filter((line) => !/^#|fe80|^local 169\.254\./.test(line))
      .map((line) => line.replace(/\[\d+:\d+\]/, ''))
      .join('\n')
  )
}

/** Whether the gateway answers the routers' question: an echo request to its health address. */
async function answersPing(): Promise<boolean> {
  const script = 'ip route replace 169.254.50.248/32 dev net1; ping -n -c 1 -W 5 169.254.50.248 || true'
  return (await inClient({ argv: ['bash', '-c', script] })).includes(' 1 received')
}

/** Does something as the router: the client's packets to the gateway have the router's address. */
async function asRouter<T>(task: () => Promise<T>): Promise<T> {
  const route = ['192.168.50.248/32', 'dev', 'net1', 'src', '192.168.50.241']
  await inClient({ argv: ['ip', 'route', 'add', ...route] })
  try {
    return await task()
  } finally {
    await inClient({ argv: ['ip', 'route', 'del', ...route] })
  }
}

/** Where programs first note their arguments, which every process on the machine could read in /proc. */
const noted = join(directory, 'arguments')

/** A PATH on which the programs that are told of keys note their arguments. */
async function notingPath(): Promise<string> {
  const bin = join(directory, 'bin')
  await mkdir(bin)
  for (const program of ['/usr/bin/wg', '/bin/sh']) {
    const script = `#!/bin/bash\necho "${basename(program)} $*" >>${noted}\nexec ${program} "$@"\n`
    await writeFile(join(bin, basename(program)), script, { mode: 0o755 })
  }
  return `${bin}:${process.env['PATH']}`
}

/** Follows netfilter: what was said of rules that went. */
async function watchRules() {
  const monitor = start(gateway, ['nft', 'monitor'])
  const lines: string[] = []
  if (monitor.stdout === null) throw new Error('no pipe')
  createInterface({ input: monitor.stdout }).on('line', (line) => lines.push(line))
  await until('the monitor hears', 30, async () => {
    await inGateway({ argv: ['bash', '-c', 'iptables -N HEARD; iptables -X HEARD'] })
    return lines.some((line) => line.includes('HEARD')) ? true : undefined
  })
  return () => {
    monitor.kill('SIGKILL')
    return lines.filter((line) => line.startsWith('delete rule '))
  }
}

beforeAll(() => writeFile(join(directory, 'good.conf'), tunnel))
afterAll(() => made.close())

describe('what is wrong is refused with exit code 2, one line that names it, and nothing changed', () => {
  const bad: [
    name: string,
    change: { system?: [string, string]; tunnel?: [string, string]; interface?: string },
    line: RegExp,
  ][] = [
    ['an unknown key', { system: ['version: 1', 'version: 1\nextra: 1'] }, /extra/],
    ['overlapping ranges', { system: ['50.241-192.168.50.247', '50.242-192.168.50.248'] }, /gatewayNetwork\./],
    ['a VIP outside the subnet', { system: ['vip: 192.168.50.240', 'vip: 192.168.52.1'] }, /gatewayNetwork\.vip/],
    ['an MTU that breaks the chain', { system: ['mtu: 1420', 'mtu: 1480'] }, /mtu/],
    [
      'a bad key in the tunnel file',
      { tunnel: ['PrivateKey = ', 'PrivateKey = x'] },
      /\.conf:2: PrivateKey: expected 32 bytes/,
    ],
    [
      'a tunnel file without a peer',
      { tunnel: [tunnel.slice(tunnel.indexOf('[Peer]')), ''] },
      /\.conf:\d+: the file has no \[Peer\]/,
    ],
    ['an absent interface', { interface: 'net9' }, /interface net9: not present/],
    [
      'an interface with an address that is no gateway',
      { interface: 'eth0' },
      /interface eth0: has 10\.42\.0\.5, expected/,
    ],
  ]
  test.each(bad)('%s', async (_name, change, line) => {
    const systemPath = join(directory, `${randomUUID()}.yaml`)
    const tunnelPath = join(directory, `${randomUUID()}.conf`)
    await writeFile(systemPath, change.system === undefined ? system : system.replace(...change.system))
    await writeFile(tunnelPath, change.tunnel === undefined ? tunnel : tunnel.replace(...change.tunnel))
    const before = await kernelState()
    const agent = startAgent({
      system: systemPath,
      tunnel: tunnelPath,
      ...(change.interface === undefined ? {} : { interface: change.interface }),
    })
    expect(await agent.ended).toEqual({ code: 2, signal: null })
    expect(agent.errors.filter((text) => line.test(text))).toHaveLength(1)
    expect(agent.errors.join('\n')).not.toMatch(/^\s+at /m)
    expect(agent.errors.join('\n')).not.toContain(provider.gatewayKey.slice(0, 8))
    expect(await kernelState()).toBe(before)
  })

  test('a missing program', async () => {
    const before = await kernelState()
    const agent = startAgent({ tunnel: join(directory, 'good.conf'), path: '/nonexistent' })
    expect(await agent.ended).toEqual({ code: 2, signal: null })
    expect(agent.errors).toContainEqual(expect.stringMatching(/^.*program wg: not on PATH/))
    expect(await kernelState()).toBe(before)
  })
})

describe('in service', () => {
  let agent: Agent

  beforeAll(async () => {
    await made.openWorld(['198.51.100.20', '203.0.113.10', '10.96.0.100'], [['198.51.100.20', 51820]])
    await made.openProvider(provider)
    await inWorld({ argv: ['ip', 'address', 'add', '10.9.0.1/24', 'dev', 'wg0'] })
    await made.listen([
      ['203.0.113.10', 80],
      ['10.96.0.100', 8080],
    ])
    agent = startAgent({ tunnel: join(directory, 'good.conf'), path: await notingPath() })
    await ready()
  })

  test("a client reaches the internet with the tunnel's address, the agent says so", async () => {
    expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
    expect(await answersPing()).toBe(true)
    const status = JSON.parse((await ask('/v1/tunnel')).body) as {
      state: string
      peers: { handshakeAgeSeconds: number }[]
    }
    expect(status).toMatchObject({ state: 'up', interface: 'wg0', addresses: ['10.9.0.2'], mtu: 1420 })
    expect(status.peers[0]?.handshakeAgeSeconds).toBeLessThan(180)
    expect(await metric('wireguard_received_bytes_total')).toBeGreaterThan(0)
    expect(await metric('vpn_gateway_tunnel_up')).toBe(1)
  })

  test('no key is told to anybody', async () => {
    const told = await Promise.all(['/v1/status', '/v1/tunnel', '/v1/forwards', '/metrics'].map((path) => ask(path)))
    expect(told.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    const given = await readFile(noted, 'utf8')
    expect(given).toContain('wg syncconf wg0 ')
    const all = [...told.map(({ body }) => body), ...agent.log, ...agent.errors, given].join('\n')
    // Without its first and last digits, which differ where the kernel clamps it.
    expect(all).not.toContain(provider.gatewayKey.slice(2, 40))
    expect(all).toContain(wireguardPublicKey(provider.gatewayKey))
  })

  test('private and reserved destinations are refused by the gateway itself', async () => {
    // From beyond the tunnel there would be silence: all but the first are nobody's, and that one has no such port.
    for (const address of ['10.42.0.1', '100.64.0.1', '169.254.0.1', '172.16.0.1', '192.168.0.1', '240.0.0.1'])
      expect([address, await hears(client, address, 8080)]).toEqual([address, 'refused'])
  })

  test('the HTTP port is open to routers, shut to clients', async () => {
    expect(await hears(client, '192.168.50.248', 9801)).toBe('refused')
    expect((await asRouter(() => ask('/readyz', client, 'GET', '192.168.50.248'))).status).toBe(200)
    // Nor is it there for anybody beyond the tunnel.
    expect(await hears(world, '10.9.0.2', 9801)).toBe('silence')
  })

  test('what the provider forwards reaches the service, and the reply gets back', async () => {
    expect(await hears(world, '10.9.0.2', 45678)).toBe('caller 10.42.0.5')
    expect(JSON.parse((await ask('/v1/forwards')).body)).toEqual([
      expect.objectContaining({
        name: 'web',
        protocol: 'tcp',
        port: 45678,
        packets: expect.toSatisfy((n: number) => n >= 3),
      }),
    ])
  })

  test('killed and started again: no change to the kernel, no rule gone for an instant, no flow, no new handshake', async () => {
    const before = await kernelState()
    const flow = openFlow((argv) => start(client, argv))
    await flow.goesOn()
    const rulesGone = await watchRules()
    const handshake = await inGateway({ argv: ['wg', 'show', 'wg0', 'latest-handshakes'] })
    agent.child.kill('SIGKILL')
    await agent.ended
    expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
    await flow.goesOn()
    agent = startAgent({ tunnel: join(directory, 'good.conf') })
    await ready()
    expect(await metric('reconcile_steps_total')).toBe(0)
    await flow.goesOn()
    flow.child.kill('SIGKILL')
    // Those of a chain that nothing leads to are tried and taken back at each start.
    expect(rulesGone().filter((line) => !line.includes('VG-TRIAL'))).toEqual([])
    expect(await kernelState()).toBe(before)
    expect(await inGateway({ argv: ['wg', 'show', 'wg0', 'latest-handshakes'] })).toBe(handshake)
  })

  /** The slow full pass that finds everything in the end. */
  const byInterval = /"reason":"interval"/
  test.each([
    [
      'rules flushed',
      'iptables -F; iptables -t nat -F; iptables -t mangle -F; iptables -t raw -F; iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT',
    ],
    [
      'routes and policy rules gone',
      'ip route flush table 151; ip route del 192.168.50.64/26; ip rule del iif net1 lookup 151',
    ],
    ['forwarding off, reverse path filter on', 'sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.wg0.rp_filter=1'],
    ["the tunnel's address gone", 'ip address del 10.9.0.2/32 dev wg0'],
    ['the link deleted', 'ip link del wg0'],
  ] as const)('%s: put back', async (name, script) => {
    const before = (await kernelState()).replaceAll(/^\d+: wg0/gm, 'wg0')
    const drift = agent.next('"drift":true')
    const since = Date.now() / 1000
    await inGateway({ argv: ['bash', '-c', script] })
    const { line, at } = await drift
    // The kernel told of it, or the tunnel's own health did.
    expect(line).not.toMatch(byInterval)
    const back = await until('a pass that has read the kernel again', 60, async () => {
      const { reconcile } = JSON.parse((await ask('/v1/status')).body) as { reconcile: { lastPassAt: number } }
      return reconcile.lastPassAt > at ? reconcile.lastPassAt - since : undefined
    })
    await until('the same as before', 60, async () =>
      (await kernelState()).replaceAll(/^\d+: wg0/gm, 'wg0') === before ? true : undefined,
    )
    await ready()
    console.log(`figures: ${JSON.stringify({ drift: name, begunToRepair: at - since, back })}`)
    expect(await metric('reconcile_drift_repaired_total')).toBeGreaterThan(0)
    expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
  })

  test('the address that routers ping, taken away: put back without waiting for its renewal, and counted', async () => {
    expect(await metric('vpn_gateway_health_address_restored_total')).toBe(0)
    const seen = agent.next('health address was taken away')
    let since = 0
    // Taken away while a renewal is under way, it is back before anybody can have seen it gone.
    for (let said: unknown; said === undefined; said = await Promise.race([seen, delay(5000)])) {
      since = Date.now() / 1000
      await inGateway({ argv: ['ip', 'address', 'del', '169.254.50.248/32', 'dev', 'net1'] })
    }
    const { at } = await seen
    console.log(`figures: ${JSON.stringify({ drift: 'health address gone', begunToRepair: at - since })}`)
    await until('it answers', 30, async () => ((await answersPing()) ? true : undefined))
    expect(await metric('vpn_gateway_health_address_restored_total')).toBe(1)
  })

  test('a dead tunnel is seen, said and seen again when it is back; clients go nowhere else', async () => {
    await inWorld({ argv: ['ip', 'link', 'set', 'wg0', 'down'] })
    await until('down', 30, async () => ((await answersPing()) ? undefined : true))
    const { body } = await ask('/readyz')
    expect(JSON.parse(body)).toMatchObject({ state: 'unready', reasons: [expect.stringMatching(/^tunnel down/)] })
    expect(await hears(client, '203.0.113.10', 80)).toBe('silence')
    await inWorld({ argv: ['ip', 'link', 'set', 'wg0', 'up'] })
    await ready()
  })

  test('drain on request, from this host only; the tunnel stays healthy', async () => {
    expect((await asRouter(() => ask('/v1/drain', client, 'PUT', '192.168.50.248'))).status).toBe(403)
    expect((await ask('/v1/drain', gateway, 'PUT')).status).toBe(200)
    expect(JSON.parse((await ask('/readyz')).body)).toMatchObject({ state: 'draining' })
    expect(await answersPing()).toBe(true)
    expect((await ask('/v1/drain', gateway, 'DELETE')).status).toBe(200)
    expect((await ask('/readyz')).status).toBe(200)
  })

  test('terminated: drains while a client has a flow, ends with it, and the kernel stays closed', async () => {
    const before = await kernelState()
    const flow = start(client, ['bash', '-c', dial('203.0.113.10', 80, 'head -n 1 <&3; exec cat <&3')])
    await new Promise((resolve) => flow.stdout?.once('data', resolve))
    agent.child.kill('SIGTERM')
    await agent.said('"flows":1')
    expect(JSON.parse((await ask('/readyz')).body)).toMatchObject({ state: 'draining' })
    expect(await answersPing()).toBe(true)
    flow.kill('SIGKILL')
    expect(await agent.ended).toEqual({ code: 0, signal: null })
    expect(agent.log.join('\n')).not.toContain('drain deadline reached')
    expect(await kernelState()).toBe(before)
    expect(await inGateway({ argv: ['iptables', '-S', 'FORWARD'] })).toContain('-P FORWARD DROP')
  })

  test('told twice to end: ends at once, and what the kernel holds carries the flow on', async () => {
    agent = startAgent({ tunnel: join(directory, 'good.conf') })
    await ready()
    const flow = openFlow((argv) => start(client, argv))
    await flow.goesOn()
    agent.child.kill('SIGTERM')
    await agent.said('"flows":1')
    agent.child.kill('SIGTERM')
    expect(await agent.ended).toEqual({ code: 143, signal: null })
    await flow.goesOn()
    flow.child.kill('SIGKILL')
  })

  test("in all of this nothing left by the pod network but WireGuard and the cluster's traffic", async () => {
    expect(await leaked()).toBe(0)
  })
})
