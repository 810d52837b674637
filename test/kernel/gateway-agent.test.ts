/**
 * The real gateway-agent against a real WireGuard peer. Three namespaces: the gateway's pod, a client that is the router
 * too (it holds the VIP), and a world with the pod network, the provider, the internet and the ingress service in one.
 * The agent is the bundle: `pnpm build` comes first.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createRunner, wireguardPublicKey, type Runner } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const gateway = 'ga-gateway'
const client = 'ga-client'
const world = 'ga-world'
const namespaces = [gateway, client, world]
const main = fileURLToPath(new URL('../../dist/gateway-agent.mjs', import.meta.url))
const host = createRunner()

/** Runs commands in a namespace. */
function on(namespace: string): Runner['run'] {
  return ({ argv, ...rest }) => host.run({ ...rest, argv: ['ip', 'netns', 'exec', namespace, ...argv] })
}
const inGateway = on(gateway)
const inClient = on(client)
const inWorld = on(world)

const key = (word: string) => createHash('sha256').update(word).digest('base64')
const gatewayKey = key('gateway')
const providerKey = key('provider')

const system = `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.50.0/24
  clients: 192.168.50.1-192.168.50.239
  vip: 192.168.50.240
  routers: 192.168.50.241-192.168.50.247
  gateways: 192.168.50.248-192.168.50.254
  mtu: 1420
  bridge: vpn-gateway
  vxlan: { vni: 5001 }
routerNetwork:
  subnet: 192.168.51.0/24
  mtu: 1450
  bridge: vpn-router
  vxlan: { vni: 5002 }
underlay:
  mtu: 1500
  peers: { multicast: 239.1.1.1 }
tunnel:
  probe: { targets: ['203.0.113.10:80'] }
gateway:
  drainSeconds: 20
forwards:
  - name: web
    protocol: tcp
    port: 45678
    to: { address: 10.96.0.100, port: 8080 }
`

const tunnel = `[Interface]
PrivateKey = ${gatewayKey}
Address = 10.9.0.2/32

[Peer]
PublicKey = ${wireguardPublicKey(providerKey)}
AllowedIPs = 0.0.0.0/0
Endpoint = 198.51.100.20:51820
`

/** Runs a program without a shell and reports how it ended, whatever the end. */
function finish(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
}

const running = new Set<ChildProcess>()

/** Starts a program in a namespace; what is still running at the end of the file is killed. */
function start(namespace: string, argv: readonly string[], path?: string): ChildProcess {
  const env = { ...process.env, LC_ALL: 'C', ...(path === undefined ? {} : { PATH: path }) }
  // By its full path: the test of a missing program takes everything else off PATH.
  const child = spawn('/sbin/ip', ['netns', 'exec', namespace, ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

interface Agent {
  child: ChildProcess
  ended: Promise<{ code: number | null; signal: string | null }>
  log: string[]
  errors: string[]
  /** Resolves with the first log line, past or future, that holds the text. */
  said(text: string): Promise<string>
}

let directory = ''
let systemFile = ''

function startAgent(options: { system?: string; tunnel: string; interface?: string; path?: string }): Agent {
  const argv = [
    process.execPath,
    main,
    '--config',
    options.system ?? systemFile,
    '--name',
    'gateway-0',
    '--tunnel',
    options.tunnel,
    '--interface',
    options.interface ?? 'net1',
    '--primary',
    'eth0',
    '--run-dir',
    join(directory, 'run'),
  ]
  const child = start(gateway, argv, options.path)
  const log: string[] = []
  const errors: string[] = []
  const waiting: { text: string; resolve: (line: string) => void }[] = []
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes')
  createInterface({ input: child.stdout }).on('line', (line) => {
    log.push(line)
    for (const one of waiting) if (line.includes(one.text)) one.resolve(line)
  })
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line))
  return {
    child,
    ended: finish(child),
    log,
    errors,
    said: (text) => {
      const past = log.find((line) => line.includes(text))
      return past === undefined ? new Promise((resolve) => waiting.push({ text, resolve })) : Promise.resolve(past)
    },
  }
}

/** Asks the agent over HTTP from a namespace; the shell's own TCP needs no program that may be absent. */
async function ask(
  path: string,
  from = gateway,
  method = 'GET',
  address = '127.0.0.1',
): Promise<{ status: number; body: string }> {
  const request = `${method} ${path} HTTP/1.1\\r\\nHost: gateway\\r\\nConnection: close\\r\\n\\r\\n`
  const script = `exec 3<>/dev/tcp/${address}/9801 && printf '${request}' >&3 && cat <&3`
  const answer = await on(from)({ argv: ['timeout', '30', 'bash', '-c', script], timeoutMs: 40_000 })
  const [head = '', ...body] = answer.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), body: body.join('\r\n\r\n') }
}

/** Asks again until the answer holds; every try is a process of its own, which is pause enough. */
async function until<T>(what: string, seconds: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const result = await attempt().catch(() => undefined)
    if (result !== undefined) return result
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`)
  }
}

const ready = () =>
  until('ready', 100, async () => {
    const answer = await ask('/readyz')
    return answer.status === 200 ? answer : undefined
  })

async function metric(name: string): Promise<number> {
  const { body } = await ask('/metrics')
  const values = [...body.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].map((match) =>
    Number(match[1]),
  )
  return values.reduce((sum, value) => sum + value, 0)
}

/** Everything that an agent could have changed; counters, times and ages left out. */
async function kernelState(): Promise<string> {
  const parts = await Promise.all([
    inGateway({ argv: ['ip', '-details', 'link'] }),
    inGateway({ argv: ['ip', 'address'] }),
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
      // Duplicate address detection changes link-local addresses for a second by itself.
      .filter((line) => !line.startsWith('#') && !line.includes('fe80'))
      .map((line) => line.replace(/\[\d+:\d+\]/, ''))
      .join('\n')
  )
}

/** Opens a TCP connection by the shell, which starts in a tenth of Node's time under emulation. */
const dial = (address: string, port: number, then: string) => `exec 3<>/dev/tcp/${address}/${port} && ${then}`

/** The first line that a TCP connection from a namespace hears, or why there is none. */
async function hears(from: string, address: string, port: number): Promise<string> {
  const script = dial(address, port, 'head -n 1 <&3')
  const text = await on(from)({ argv: ['timeout', '4', 'bash', '-c', `(${script}) 2>&1 || true`] }).catch(
    () => 'silence',
  )
  return /No route to host/.test(text) ? 'refused' : text.trim()
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

/** Packets that reached the world by the pod network and are neither WireGuard's nor for the cluster. */
async function leaked(): Promise<number> {
  const text = await inWorld({ argv: ['iptables', '-t', 'raw', '-L', 'LEAK', '-nvx'] })
  return Number(/^\s*(\d+)/.exec(text.split('\n')[2] ?? '')?.[1] ?? Number.NaN)
}

const cable = async (a: [string, string, string], b: [string, string, string]) => {
  await host.run({
    argv: ['ip', 'link', 'add', a[1], 'netns', a[0], 'type', 'veth', 'peer', 'name', b[1], 'netns', b[0]],
  })
  for (const [namespace, dev, address] of [a, b]) {
    await on(namespace)({ argv: ['ip', 'address', 'add', address, 'dev', dev] })
    await on(namespace)({ argv: ['ip', 'link', 'set', dev, 'up'] })
  }
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-agent-'))
  await mkdir(join(directory, 'run'))
  systemFile = join(directory, 'system.yaml')
  await writeFile(systemFile, system)
  await writeFile(join(directory, 'good.conf'), tunnel)
  for (const namespace of namespaces) {
    await host.run({ argv: ['ip', 'netns', 'add', namespace] })
    await on(namespace)({ argv: ['ip', 'link', 'set', 'lo', 'up'] })
  }
  await cable([gateway, 'net1', '192.168.50.248/24'], [client, 'net1', '192.168.50.10/24'])
  await cable([gateway, 'eth0', '10.42.0.5/16'], [world, 'eth0', '10.42.0.1/16'])
  for (const address of ['192.168.50.240/24', '192.168.50.241/24']) {
    await inClient({ argv: ['ip', 'address', 'add', address, 'dev', 'net1'] })
  }
  await inClient({ argv: ['ip', 'route', 'add', 'default', 'via', '192.168.50.248', 'src', '192.168.50.10'] })
  await inGateway({ argv: ['ip', 'route', 'add', 'default', 'via', '10.42.0.1'] })
})

afterAll(async () => {
  const ends = [...running].map((child) => {
    const end = finish(child)
    child.kill('SIGKILL')
    return end
  })
  await Promise.all(ends)
  for (const namespace of namespaces) await host.run({ argv: ['ip', 'netns', 'del', namespace] })
  await rm(directory, { recursive: true, force: true })
})

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
    expect(agent.errors.join('\n')).not.toContain(gatewayKey.slice(0, 8))
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

/** The provider, the internet and the service, and a count of what reaches the world beside the tunnel. */
async function openWorld(): Promise<void> {
  await host.run({ argv: ['modprobe', '-a', 'wireguard', 'nft_compat', 'nf_conntrack'] }).catch(() => undefined)
  await inWorld({ argv: ['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0'] })
  for (const address of ['198.51.100.20/32', '203.0.113.10/32', '10.96.0.100/32']) {
    await inWorld({ argv: ['ip', 'address', 'add', address, 'dev', 'lo'] })
  }
  await inWorld({ argv: ['ip', 'link', 'add', 'wg0', 'type', 'wireguard'] })
  const peer = `[Interface]\nPrivateKey = ${providerKey}\nListenPort = 51820\n[Peer]\nPublicKey = ${wireguardPublicKey(gatewayKey)}\nAllowedIPs = 10.9.0.2/32\n`
  await writeFile(join(directory, 'provider.conf'), peer, { mode: 0o600 })
  await inWorld({ argv: ['wg', 'setconf', 'wg0', join(directory, 'provider.conf')] })
  await inWorld({ argv: ['ip', 'address', 'add', '10.9.0.1/24', 'dev', 'wg0'] })
  await inWorld({ argv: ['ip', 'link', 'set', 'wg0', 'up'] })
  for (const rule of [
    '-N LEAK',
    '-A LEAK',
    '-A PREROUTING -i eth0 -d 198.51.100.20 -p udp --dport 51820 -j RETURN',
    '-A PREROUTING -i eth0 -d 10.0.0.0/8 -j RETURN',
    '-A PREROUTING -i eth0 -j LEAK',
  ]) {
    await inWorld({ argv: ['iptables', '-t', 'raw', ...rule.split(' ')] })
  }
  const answer = `for(const [h,p] of [['203.0.113.10',80],['10.96.0.100',8080]])
    require('net').createServer(s=>{s.on('error',()=>{});s.write('caller '+s.remoteAddress+'\\n')}).listen(p,h,()=>console.log('listening'))`
  const server = start(world, [process.execPath, '-e', answer])
  await new Promise((resolve) => server.stdout?.once('data', resolve))
}

describe('in service', () => {
  let agent: Agent

  beforeAll(async () => {
    await openWorld()
    agent = startAgent({ tunnel: join(directory, 'good.conf') })
    await ready()
  })

  test("a client reaches the internet with the tunnel's address, the agent says so", async () => {
    expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
    expect((await ask('/healthz')).status).toBe(200)
    const status = JSON.parse((await ask('/v1/tunnel')).body) as {
      state: string
      peers: { handshakeAgeSeconds: number }[]
    }
    expect(status).toMatchObject({ state: 'up', interface: 'wg0', addresses: ['10.9.0.2'], mtu: 1420 })
    expect(status.peers[0]?.handshakeAgeSeconds).toBeLessThan(180)
    expect(await metric('wireguard_received_bytes_total')).toBeGreaterThan(0)
    expect(await metric('vpn_gateway_tunnel_up')).toBe(1)
  })

  test('private destinations are refused at once', async () => {
    expect(await hears(client, '10.42.0.1', 8080)).toBe('refused')
    expect(await hears(client, '172.16.0.1', 80)).toBe('refused')
  })

  test('the HTTP port is open to routers, shut to clients', async () => {
    expect(await hears(client, '192.168.50.248', 9801)).toBe('refused')
    expect((await asRouter(() => ask('/healthz', client, 'GET', '192.168.50.248'))).status).toBe(200)
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

  test('killed and started again: no change to the kernel, no new handshake', async () => {
    const before = await kernelState()
    const handshake = await inGateway({ argv: ['wg', 'show', 'wg0', 'latest-handshakes'] })
    agent.child.kill('SIGKILL')
    await agent.ended
    expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
    agent = startAgent({ tunnel: join(directory, 'good.conf') })
    await ready()
    expect(await metric('reconcile_steps_total')).toBe(0)
    expect(await kernelState()).toBe(before)
    expect(await inGateway({ argv: ['wg', 'show', 'wg0', 'latest-handshakes'] })).toBe(handshake)
  })

  test.each([
    [
      'rules flushed',
      'iptables -F; iptables -t nat -F; iptables -t mangle -F; iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT',
    ],
    [
      'routes and policy rules gone',
      'ip route flush table 151; ip route del 192.168.50.64/26; ip rule del iif net1 lookup 151',
    ],
    ['forwarding off, reverse path filter on', 'sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.wg0.rp_filter=1'],
    ['the link deleted', 'ip link del wg0'],
  ])('%s: put back', async (_name, script) => {
    const before = (await kernelState()).replaceAll(/^\d+: wg0/gm, 'wg0')
    await inGateway({ argv: ['bash', '-c', script] })
    await until('the same as before', 60, async () =>
      (await kernelState()).replaceAll(/^\d+: wg0/gm, 'wg0') === before ? true : undefined,
    )
    await ready()
    expect(await metric('reconcile_drift_repaired_total')).toBeGreaterThan(0)
    expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
  })

  test('a dead tunnel is seen, said and seen again when it is back; clients go nowhere else', async () => {
    await inWorld({ argv: ['ip', 'link', 'set', 'wg0', 'down'] })
    await until('down', 30, async () => ((await ask('/healthz')).status === 503 ? true : undefined))
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
    expect((await ask('/healthz')).status).toBe(200)
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
    expect((await ask('/healthz')).status).toBe(200)
    flow.kill('SIGKILL')
    expect((await agent.ended).signal).toBeNull()
    expect(await kernelState()).toBe(before)
    expect(await inGateway({ argv: ['iptables', '-S', 'FORWARD'] })).toContain('-P FORWARD DROP')
  })

  test("in all of this nothing left by the pod network but WireGuard and the cluster's traffic", async () => {
    expect(await leaked()).toBe(0)
  })
})
