/**
 * The real router-agent with keepalived, IPVS and conntrackd. Namespaces: the router's pod, a client, two gateways that are
 * the internet at the same time (each has its address and says its own name), two more routers' pods, and a switch.
 * The agent is the bundle: `pnpm build` comes first.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { createRunner, type Runner } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, describe, expect, onTestFailed, onTestFinished, test } from 'vitest'
import { createHttpProbes, type HttpResponse } from '../lab/src/pods/http.ts'
import { startFlows, type Flows } from '../lab/src/traffic/flows.ts'
import { tellingFlows } from '../bench/src/tell-flows.ts'

const router = 'ra-router'
const peers = ['ra-peer-1', 'ra-peer-2'] as const
const client = 'ra-client'
const gateways = ['ra-gateway-0', 'ra-gateway-1'] as const
const hub = 'ra-switch'
const namespaces = [hub, router, ...peers, client, ...gateways]
const internet = '203.0.113.10'
const echo = 9000
const program = (name: string) => fileURLToPath(new URL(`../../dist/${name}.mjs`, import.meta.url))
const host = createRunner()
const http = createHttpProbes()

/** Runs commands in a namespace. */
function on(namespace: string): Runner['run'] {
  return ({ argv, ...rest }) => host.run({ ...rest, argv: ['ip', 'netns', 'exec', namespace, ...argv] })
}
const shell = (namespace: string, script: string) => on(namespace)({ argv: ['bash', '-ec', script] })

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
`

/** The same system with another weight and sticky clients. */
const changed = `${system}gateway:
  weights: { 192.168.50.249: 300 }
router:
  stickiness:
    - { clients: 192.168.50.20-192.168.50.29 }
    - { clients: 192.168.50.30-192.168.50.39, by: client-and-destination }
`

const running = new Set<ChildProcess>()

/** Starts a program in a namespace; what is still running at the end of the file is killed. */
function start(namespace: string, argv: readonly string[]): ChildProcess {
  const child = spawn('ip', ['netns', 'exec', namespace, ...argv], {
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

const ended = (child: ChildProcess) => new Promise<void>((resolve) => child.once('exit', () => resolve()))
const firstLine = (child: ChildProcess) => new Promise((resolve) => child.stdout?.once('data', resolve))

interface Agent {
  child: ChildProcess
  ended: Promise<void>
  log: string[]
}

let directory = ''
const file = (name: string) => join(directory, name)

function startAgent(namespace = router, name = 'router-0'): Agent {
  const options = ['--interface', 'net1', '--router-interface', 'net2', '--run-dir', file(`run-${name}`)]
  const child = start(namespace, [
    process.execPath,
    program('router-agent'),
    '--config',
    file('system.yaml'),
    '--name',
    name,
    ...options,
  ])
  const log: string[] = []
  if (child.stdout === null) throw new Error('no pipe')
  createInterface({ input: child.stdout }).on('line', (line) => log.push(line))
  return { child, ended: ended(child), log }
}

const ask = (path: string, namespace = router): Promise<HttpResponse> =>
  http.request(namespace, { port: 9802, path, timeoutMs: 20_000 })

/** Asks again until the answer holds; every try is a request of its own, which is pause enough. */
async function until<T>(what: string, seconds: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  let last: unknown
  for (;;) {
    const result = await attempt().catch((error: unknown) => void (last = error))
    if (result !== undefined) return result
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}: ${String(last)}`)
  }
}

const ready = (namespace = router) =>
  until('ready', 250, async () => ((await ask('/readyz', namespace)).status === 200 ? true : undefined))

async function show<T>(path: string, namespace = router): Promise<T> {
  const { status, body } = await ask(path, namespace)
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`)
  return JSON.parse(body) as T
}

/** Sum of a metric's samples whose line holds the text; undefined without any. */
async function metric(name: string, holding = ''): Promise<number | undefined> {
  const { body } = await ask('/metrics')
  const samples = [...body.matchAll(new RegExp(`^${name}(\\{[^}]*\\})? (\\S+)$`, 'gm'))]
    .filter(([, labels = '']) => labels.includes(holding))
    .map(([, , value]) => Number(value))
  return samples.length === 0 ? undefined : samples.reduce((sum, value) => sum + value, 0)
}

interface Ipvs {
  services: {
    fwmark: number
    scheduler: string
    realServers: { address: string; weight: number; state: string | null }[]
  }[]
}

const weights = async (): Promise<Record<string, number>> => {
  const { services } = await show<Ipvs>('/v1/ipvs')
  const servers = services.find(({ fwmark }) => fwmark === 1)?.realServers ?? []
  return Object.fromEntries(servers.map(({ address, weight }) => [address, weight]))
}
const address = (gateway: number) => `192.168.50.${248 + gateway}`
const inService = (expected: Record<string, number>) =>
  until(`in service: ${JSON.stringify(expected)}`, 60, async () => {
    const now = await weights()
    if (!isDeepStrictEqual(now, expected)) throw new Error(JSON.stringify(now))
    return true
  })

/** What each gateway is: it says its name to whoever asks, and its readiness to the router. */
const gatewayProgram = `
const [name, state] = process.argv.slice(1)
const { readFileSync } = require('node:fs')
require('node:http').createServer((q, s) => {
  const text = readFileSync(state, 'utf8').trim()
  s.writeHead(text === 'ready' ? 200 : 503).end(JSON.stringify({ state: text, reasons: [] }))
}).listen(9801)
require('node:net').createServer((s) => { s.on('error', () => {}); s.on('data', (d) => {
  s.write((name + '\\n').repeat(d.toString().split('\\n').length - 1)) }) }).listen(${echo})
const udp = require('node:dgram').createSocket('udp4')
udp.on('message', (m, from) => {
  const late = m.toString() === 'late' ? 300 : 0
  setTimeout(() => udp.send(name + '\\n', from.port, from.address), late)
})
udp.bind(${echo}, '${internet}', () => console.log('up'))
`

async function makeNetwork(): Promise<void> {
  for (const namespace of namespaces) {
    await host.run({ argv: ['ip', 'netns', 'add', namespace] })
    await shell(
      namespace,
      'ip link set lo up; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0',
    )
  }
  await shell(hub, 'for b in vpn sync; do ip link add $b type bridge mcast_snooping 0; ip link set $b up; done')
  const plug = async (namespace: string, dev: string, bridge: string, cidr: string) => {
    const port = `${namespace.slice(3)}-${dev}`
    await host.run({
      argv: ['ip', 'link', 'add', dev, 'netns', namespace, 'type', 'veth', 'peer', 'name', port, 'netns', hub],
    })
    await shell(hub, `ip link set ${port} master ${bridge} up`)
    await shell(namespace, `ip addr add ${cidr} dev ${dev}; ip link set ${dev} up`)
  }
  await plug(router, 'net1', 'vpn', '192.168.50.241/24')
  await plug(router, 'net2', 'sync', '192.168.51.1/24')
  for (const [index, namespace] of peers.entries()) {
    await plug(namespace, 'net1', 'vpn', `192.168.50.${242 + index}/24`)
    await plug(namespace, 'net2', 'sync', `192.168.51.${2 + index}/24`)
  }
  await plug(client, 'net1', 'vpn', '192.168.50.10/24')
  await shell(
    client,
    `ip addr add 192.168.50.20/24 dev net1; ip addr add 192.168.50.30/24 dev net1; ip route add default via 192.168.50.240 src 192.168.50.10`,
  )
  for (const [index, gateway] of gateways.entries()) {
    await plug(gateway, 'net1', 'vpn', `${address(index)}/24`)
    // The client range goes back by the VIP; the health address is there while the tunnel would carry traffic.
    await shell(
      gateway,
      `for a in 10 16 17 18 19 20 21 22 23; do ip addr add 203.0.113.$a/32 dev lo; done; ip addr add 169.254.50.${248 + index}/32 dev net1
       for c in 0/25 128/26 192/27 224/28; do ip route add 192.168.50.$c via 192.168.50.240; done
       for t in 3 8; do iptables -A INPUT -i net1 -d ${internet} -p icmp --icmp-type $t; done
       iptables -A INPUT -i net1 -p 47 -d ${internet} -j DROP`,
    )
    await writeFile(file(`state-${index}`), 'ready')
    await firstLine(start(gateway, [process.execPath, '-e', gatewayProgram, gateway, file(`state-${index}`)]))
  }
}

/** Packets that a gateway's INPUT rules have counted, by what the rule is about. */
async function seenBy(gateway: string): Promise<{ errors: number; echoes: number; gre: number }> {
  const rows = (await shell(gateway, 'iptables -L INPUT -nvx')).split('\n').slice(2)
  const [errors = 0, echoes = 0, gre = 0] = rows.map((row) => Number(row.trim().split(/\s+/)[0]))
  return { errors, echoes, gre }
}

let agent: Agent
const failing = () => onTestFailed(() => console.log(agent.log.slice(-80).join('\n')))

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'router-agent-'))
  await mkdir(file('run-router-0'))
  await writeFile(file('system.yaml'), system)
  await makeNetwork()
  agent = startAgent()
  await ready()
  await inService({ [address(0)]: 100, [address(1)]: 100 })
})

afterAll(async () => {
  http.stop()
  const ends = [...running].map((child) => {
    const end = ended(child)
    child.kill('SIGKILL')
    return end
  })
  await Promise.all(ends)
  // The daemons go on without the agent.
  for (const namespace of namespaces) {
    const pids = await host.run({ argv: ['ip', 'netns', 'pids', namespace] })
    for (const pid of pids.split('\n').filter(Boolean)) kill(Number(pid))
    await host.run({ argv: ['ip', 'netns', 'del', namespace] })
  }
  await rm(directory, { recursive: true, force: true })
})

/**
 * Process ids of a daemon in the router's pod, in ascending order. Whoever asks conntrackd something is a conntrackd too, with a
 * question behind the file.
 */
async function pidsOf(name: 'keepalived' | 'conntrackd'): Promise<number[]> {
  const pids = (await host.run({ argv: ['ip', 'netns', 'pids', router] })).split('\n').filter(Boolean)
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  const daemon = name === 'conntrackd' ? /^(?:.*\/)?conntrackd\0-C\0[^\0]+\0$/ : /^(?:.*\/)?keepalived\0/
  return pids.filter((_, at) => daemon.test(lines[at] ?? '')).map(Number)
}
const daemons = async () => [await pidsOf('keepalived'), await pidsOf('conntrackd')]

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

const open = (count: number, protocol: 'tcp' | 'udp' = 'tcp'): Promise<Flows> =>
  startFlows({ client, count, intervalMs: 300, protocol })

/** Everything that an agent could have changed; counters, ages and flows left out. */
async function kernelState(): Promise<string> {
  const text = await shell(
    router,
    `ip -d address show permanent; ip route show table all; ip rule; iptables-save; ip6tables-save; ipvsadm -Sn
     sysctl net.ipv4.vs net.ipv4.ip_forward net.netfilter.nf_conntrack_tcp_loose
     nft --stateless list table ip vpn_gateway_orphans`,
  )
  return text
    .split('\n')
    .filter((line) => !/^#|fe80|valid_lft/.test(line))
    .map((line) => line.replace(/\[\d+:\d+\]/, ''))
    .join('\n')
}

/** Sends one datagram from the client by the shell; how the socket heard of it. */
const datagram = (text: string, port: number, then = '') =>
  shell(client, `exec 3<>/dev/udp/${internet}/${port}; printf '${text}' >&3; ${then}`)
const hears = `if read -t 5 -u 3 line; then echo "$line"; elif (( $? > 128 )); then echo silence; else echo refused; fi`

describe('one router', () => {
  test('flows are spread, and it says so', async () => {
    const flows = await open(10)
    expect((await flows.report()).perExit).toEqual({ [gateways[0]]: 5, [gateways[1]]: 5 })
    const { flows: listed, complete } = await show<{ flows: { gateway: string; state: string }[]; complete: boolean }>(
      '/v1/flows?client=192.168.50.10',
    )
    expect(complete).toBe(true)
    expect(listed.filter(({ state }) => state === 'ESTABLISHED')).toHaveLength(10)
    expect(listed.filter(({ gateway }) => gateway === address(0))).toHaveLength(5)
    expect(await show('/v1/flows?client=192.168.50.99')).toMatchObject({ flows: [], complete: true })
    expect((await ask('/v1/flows?client=router')).status).toBe(400)
    expect(await metric('vpn_gateway_flows', 'state="active"')).toBe(10)
    // The kernel adds its counters up every two seconds.
    await until('connections counted', 20, async () =>
      ((await metric('ipvs_connections_total')) ?? 0) >= 10 ? true : undefined,
    )
    expect(await metric('nf_conntrack_entries')).toBeGreaterThanOrEqual(10)
    expect(await metric('keepalived_vrrp_state')).toBe(2)
    await flows.stop()
  })

  test('keepalived and conntrackd tell of themselves', async () => {
    await until('keepalived has answered', 30, async () =>
      (await metric('keepalived_advertisements_sent_total')) === undefined ? undefined : true,
    )
    expect(await show('/v1/vrrp')).toMatchObject({
      state: 'MASTER',
      holdsVip: true,
      keepalived: { state: 2, basePriority: 247 },
    })
    await until('conntrackd has answered', 30, async () =>
      (await metric('conntrackd_cached_flows')) === undefined ? undefined : true,
    )
    expect(await show('/v1/conntrack')).toMatchObject({ problems: [], kernel: { stats: { drop: 0 } } })
    expect((await ask('/livez')).status).toBe(200)
    // Seconds: of TCP, of TCP that ends, of UDP.
    expect(await shell(router, 'ipvsadm -Ln --timeout')).toContain('7440 120 300')
  })

  test('ICMP errors reach the flow that they belong to, both ways', async () => {
    expect((await datagram('x', 9999, hears)).trim()).toBe('refused')
    const before = await Promise.all(gateways.map(seenBy))
    // The client has closed its socket when the answer comes: it refuses it, to the gateway that the flow went through.
    for (let flow = 0; flow < 4; flow += 1) await datagram('late', echo)
    const errors = async () =>
      (await Promise.all(gateways.map(seenBy))).map((now, at) => now.errors - before[at]!.errors)
    await until('four errors', 20, async () => {
      const now = await errors()
      if (now[0]! + now[1]! < 4) throw new Error(JSON.stringify(now))
      return true
    })
    expect(await errors()).toEqual([2, 2])
  })

  test('what IPVS does not carry goes to a gateway that lives', async () => {
    const before = await Promise.all(gateways.map(seenBy))
    expect(await shell(client, `ping -n -q -c 4 -i 0.2 ${internet}`)).toContain(' 4 received')
    // GRE, as an example of any other protocol, from several clients.
    const send = `for my $a (1..8) { socket(my $s, 2, 3, 47) or die; bind($s, pack("Sna4x8", 2, 0, pack("C4", 192,168,50,$a == 8 ? 20 : 10)));
      send($s, "x" x 20, 0, pack("Sna4x8", 2, 0, pack("C4", 203,0,113,10))) or die }`
    await on(client)({ argv: ['perl', '-e', send] })
    const after = await until('eight GRE packets', 10, async () => {
      const now = await Promise.all(gateways.map(seenBy))
      return now.reduce((sum, { gre }) => sum + gre, 0) === 8 ? now : undefined
    })
    expect(after.reduce((sum, { echoes }, at) => sum + echoes - before[at]!.echoes, 0)).toBe(4)
  })

  test('who takes a foreign address is answered neither by the pod network nor otherwise', async () => {
    const foreign = ['203.0.113.77', '10.42.0.77']
    await host.run({
      argv: ['ip', 'link', 'add', 'eth0', 'netns', router, 'type', 'veth', 'peer', 'pod', 'netns', hub],
    })
    await shell(
      hub,
      `ip addr add 10.42.0.1/16 dev pod; ip link set pod up
       nft 'table ip seen { chain in { type filter hook prerouting priority raw; iifname "pod" counter; }; }'`,
    )
    await shell(
      router,
      'ip addr add 10.42.0.13/16 dev eth0; ip link set eth0 up; ip route add default via 10.42.0.1 dev eth0',
    )
    await shell(client, foreign.map((each) => `ip addr add ${each}/32 dev lo`).join('\n'))
    const seen = async () => Number(/packets (\d+)/.exec(await shell(hub, 'nft list table ip seen'))?.[1])
    // To the router itself, and on the way through it: with no hop left, and with more than a hop takes.
    for (const source of foreign) {
      for (const ping of [`-W 1 192.168.50.241`, `-W 1 -t 1 ${internet}`, `-W 1 -M do -s 1400 192.168.50.99`]) {
        expect(await shell(client, `ping -q -c 2 -i 0.2 -I ${source} ${ping} || true`)).toContain(' 0 received')
      }
    }
    expect(await seen()).toBe(0)
    // Who asks by the pod network is answered by it, from outside of the intranet too: kubelet may.
    await shell(hub, 'ip addr add 172.20.0.1/32 dev pod')
    expect(await shell(hub, 'ping -q -c 1 -W 5 -I 172.20.0.1 10.42.0.13')).toContain(' 1 received')
    expect(await seen()).toBeGreaterThan(0)
    await shell(client, foreign.map((each) => `ip addr del ${each}/32 dev lo`).join('\n'))
    await shell(router, 'ip link del eth0')
    await shell(hub, 'nft delete table ip seen')
  })

  test('a gateway drains: what it has goes on, new flows avoid it', async () => {
    const flows = await open(6)
    const { perExit } = await flows.report()
    await writeFile(file('state-0'), 'draining')
    await inService({ [address(0)]: 0, [address(1)]: 100 })
    const fresh = await open(4)
    expect((await fresh.report()).perExit).toEqual({ [gateways[1]]: 4 })
    expect(await flows.report()).toMatchObject({ lost: 0, stalled: 0, perExit })
    await writeFile(file('state-0'), 'ready')
    await inService({ [address(0)]: 100, [address(1)]: 100 })
    await Promise.all([flows.stop(), fresh.stop()])
  })

  test('a gateway fails: its flows are reset and counted, nothing goes there any more, not even a ping', async () => {
    const flows = await open(6)
    const resets = (await metric('vpn_gateway_orphan_packets_total', 'reset')) ?? 0
    // Its tunnel is down: it would still take what it is sent.
    await shell(gateways[0], 'ip addr del 169.254.50.248/32 dev net1')
    await inService({ [address(1)]: 100 })
    await until('three resets', 20, async () => ((await flows.report()).lost === 3 ? true : undefined))
    expect((await flows.report()).perExit).toEqual({ [gateways[1]]: 3 })
    await until('the resets to be counted', 30, async () =>
      ((await metric('vpn_gateway_orphan_packets_total', 'reset')) ?? 0) >= resets + 3 ? true : undefined,
    )
    await until('routed past it', 10, async () =>
      (await shell(router, 'ip route show table 153')).includes(address(0)) ? undefined : true,
    )
    const before = await seenBy(gateways[0])
    expect(await shell(client, `ping -n -q -c 8 -i 0.2 ${internet}`)).toContain(' 8 received')
    expect(await seenBy(gateways[0])).toEqual(before)
    await shell(gateways[0], 'ip addr add 169.254.50.248/32 dev net1')
    await inService({ [address(0)]: 100, [address(1)]: 100 })
    expect(await flows.report()).toMatchObject({ lost: 3, stalled: 0 })
    await flows.stop()
  })

  test('a gateway whose tunnel goes down while the checker starts anew is taken out all the same', async () => {
    failing()
    const pidFile = join(file('run-router-0'), 'keepalived-checkers.pid')
    const checker = async () => Number.parseInt(await readFile(pidFile, 'utf8'), 10)
    const before = await checker()
    // It must not see what happens next.
    process.kill(before, 'SIGSTOP')
    await writeFile(file('state-0'), 'unready')
    await shell(gateways[0], 'ip addr del 169.254.50.248/32 dev net1')
    process.kill(before, 'SIGKILL')
    await inService({ [address(1)]: 100 })
    expect(await checker()).not.toBe(before)
    await writeFile(file('state-0'), 'ready')
    await shell(gateways[0], 'ip addr add 169.254.50.248/32 dev net1')
    await inService({ [address(0)]: 100, [address(1)]: 100 })
  })

  test('a dead gateway is out of service after two checks, again and again, and the other one stays', async () => {
    // Both in one process: what is measured is neither the start of programs nor how often somebody looks.
    const script = `
      const { readFileSync } = require('node:fs'), { spawn } = require('node:child_process')
      const { setTimeout: delay } = require('node:timers/promises')
      const port = spawn('ip', ['-n', '${hub}', '-batch', '-'], { stdio: ['pipe', 'inherit', 'inherit'] })
      const serves = (hex) => readFileSync('/proc/net/ip_vs', 'latin1').includes('-> ' + hex + ':')
      const until = async (is) => { while (serves('C0A832F8') !== is) await delay(2); return performance.now() }
      ;(async () => { const times = []; let other = true
        for (let round = 0; round < 7; round += 1) {
          await delay(1500 + 50 * round)
          const died = performance.now()
          port.stdin.write('link set gateway-0-net1 down\\n')
          times.push(Math.round(await until(false) - died)); other &&= serves('C0A832F9')
          port.stdin.write('link set gateway-0-net1 up\\n')
          await until(true)
        }
        port.stdin.end(); console.log(JSON.stringify({ times: times.sort((a, b) => a - b), other })) })()`
    const { times, other } = JSON.parse(
      await on(router)({ argv: [process.execPath, '-e', script], timeoutMs: 120_000 }),
    ) as { times: number[]; other: boolean }
    console.log(`a dead gateway is out of service after ${times[3]} ms (median of 7; ${times[0]} to ${times[6]})`)
    // One check, which takes its time, is not enough.
    expect(Math.min(...times)).toBeGreaterThan(350)
    expect(other).toBe(true)
    await inService({ [address(0)]: 100, [address(1)]: 100 })
  }, 150_000)

  test('killed and started again: the same state and the same daemons, no flow lost', async () => {
    const flows = await open(6)
    await until('settled', 30, async () => {
      const { reconcile } = await show<{ reconcile: { converged: boolean } }>('/v1/status')
      const routes = await shell(router, 'ip route show table 153')
      return reconcile.converged && routes.includes(address(0)) && routes.includes(address(1)) ? true : undefined
    })
    const [before, pids] = [await kernelState(), await daemons()]
    agent.child.kill('SIGKILL')
    await agent.ended
    agent = startAgent()
    await ready()
    expect(await daemons()).toEqual(pids)
    // The VIP may have outlived its lifetime meanwhile: then the router is active anew, and settles anew.
    await until('the same state', 60, async () => ((await kernelState()) === before ? true : undefined))
    expect(await flows.report()).toMatchObject({ lost: 0, stalled: 0, alive: 6 })
    await flows.stop()
  })

  test('all rules flushed by somebody else: flows wait, and go on once they are back', async () => {
    const flows = await open(10)
    const { perExit } = await flows.report()
    expect(Object.keys(perExit)).toHaveLength(2)
    // With the agent away nobody puts them back.
    agent.child.kill('SIGKILL')
    await agent.ended
    await flows.mark()
    await shell(router, 'nft flush ruleset')
    await until('every flow is silent', 20, async () => ((await flows.report()).stalled === 10 ? true : undefined))
    agent = startAgent()
    await ready()
    const report = await until('none is silent', 60, async () => {
      const seen = await flows.report()
      return seen.stalled === 0 ? seen : undefined
    })
    expect(report).toMatchObject({ lost: 0, alive: 10, perExit })
    await flows.stop()
  })

  test('the command line shows an active router and the flows of each gateway', async () => {
    const shown = () =>
      on(router)({
        argv: [process.execPath, program('vpn-gateway'), 'status', '--agent=http://127.0.0.1:9802', '--timeout=30'],
        timeoutMs: 100_000,
      })
    // It ends with 1 while an agent is not ready, as for a moment after each change.
    const screen = await until('a ready router on one screen', 200, shown)
    expect(screen).toMatch(/^router-0 +MASTER +192\.168\.50\.240 \(here\) +sends, receives +running +ready$/m)
    for (const live of ['192.168.50.248', '192.168.50.249']) {
      expect(screen).toMatch(new RegExp(`^- +${live.replaceAll('.', '\\.')} +\\d+ +\\d+ +\\d+$`, 'm'))
    }
    expect(screen).not.toContain('PROBLEMS')
  })

  test('the command line plans nothing beside an active router, and without its agent what is missing', async () => {
    const planned = () =>
      on(router)({
        argv: [
          process.execPath,
          program('vpn-gateway'),
          'plan',
          '--agent=router',
          '--name=router-0',
          file('system.yaml'),
        ],
        timeoutMs: 100_000,
      })
    await until('a settled router', 30, async () =>
      (await kernelState()).includes('reject with tcp reset') ? true : undefined,
    )
    expect(await planned()).toBe('nothing to change\n')
    // With the agent away nobody puts it back.
    agent.child.kill('SIGKILL')
    await agent.ended
    await shell(router, 'ip route del local default dev lo table 152')
    expect(await planned()).toContain('~ route replace default table 152\n')
    agent = startAgent()
    await ready()
  })

  test('a conntrackd that hangs is started anew and knows every flow again, none is lost', async () => {
    const flows = await open(6)
    for (const pid of await pidsOf('conntrackd')) process.kill(pid, 'SIGSTOP')
    await until('started anew', 60, async () =>
      ((await metric('vpn_gateway_daemon_restarts_total', 'conntrackd')) ?? 0) > 0 ? true : undefined,
    )
    await ready()
    await until('all flows known', 30, async () =>
      ((await metric('conntrackd_cached_flows')) ?? 0) >= 6 ? true : undefined,
    )
    expect(agent.log.filter((line) => /conntrackd is stuck/.test(line))).toHaveLength(1)
    expect(await flows.report()).toMatchObject({ lost: 0, stalled: 0, alive: 6 })
    await flows.stop()
  })

  test('the system file changes: taken over in place by the same daemons, no flow lost', async () => {
    failing()
    await inService({ [address(0)]: 100, [address(1)]: 100 })
    const flows = await open(6)
    const { perExit } = await flows.report()
    const pids = await pidsOf('keepalived')
    await writeFile(file('system.yaml'), changed)
    await inService({ [address(0)]: 100, [address(1)]: 300 })
    await until('services of the sticky clients', 20, async () => {
      const { services } = await show<Ipvs>('/v1/ipvs')
      return services.length === 18 && services.every(({ realServers }) => realServers.length === 2) ? true : undefined
    })
    await until('rules for the sticky marks', 20, async () => {
      const state = await kernelState()
      return /weight 256/.test(state) &&
        /fwmark 0x10000/.test(state) &&
        /VG-STICKY-1/.test(state) &&
        /0x00010000-/.test(state)
        ? true
        : undefined
    })
    expect(await pidsOf('keepalived')).toEqual(pids)
    await flows.mark()
    await until('every flow has gone on', 20, async () => ((await flows.report()).answers >= 12 ? true : undefined))
    expect(await flows.report()).toMatchObject({ lost: 0, stalled: 0, perExit })
    await flows.stop()
    // Three times the weight, three quarters of the flows; those that have just ended count a little, too.
    const fresh = await open(16)
    const weighted = await fresh.report()
    expect(weighted.alive).toBe(16)
    expect(Math.abs((weighted.perExit[gateways[1]] ?? 0) - 12)).toBeLessThanOrEqual(1)
    await fresh.stop()
  })

  test('another scheduler is taken over in place, no flow lost', async () => {
    const flows = await open(6)
    const schedulerIs = (wanted: string, count: number) =>
      until(`scheduler ${wanted}`, 20, async () => {
        const { services } = await show<Ipvs>('/v1/ipvs')
        // keepalived comes to one service after the other.
        return services.length === 18 &&
          services.every(({ realServers }) => realServers.length === 2) &&
          services.filter(({ scheduler }) => scheduler === wanted).length === count
          ? true
          : undefined
      })
    await writeFile(file('system.yaml'), changed.replace('router:', 'router:\n  scheduler: mh'))
    await schedulerIs('mh', 18)
    await flows.mark()
    await until('every flow has gone on', 20, async () => ((await flows.report()).answers >= 12 ? true : undefined))
    expect(await flows.report()).toMatchObject({ lost: 0, stalled: 0, alive: 6 })
    await writeFile(file('system.yaml'), changed)
    // Services by destination have their own scheduler, always.
    await schedulerIs('wlc', 2)
    expect(await flows.report()).toMatchObject({ lost: 0, stalled: 0, alive: 6 })
    await flows.stop()
  })

  test.each([
    ['contradicts itself', changed.replace('vip: 192.168.50.240', 'vip: 192.168.60.240'), /gatewayNetwork\.vip/],
    [
      'needs a new pod',
      changed.replace('router:', 'router:\n  virtualRouterId: 52'),
      /virtualRouterId: changes with a new/,
    ],
    ['is no YAML', 'version: [', /system\.yaml/],
  ])('a system file that %s is not used, and the agent says why', async (_name, text, problem) => {
    // A router that has just become the active one does not reset unknown flows for three seconds.
    const before = await until('a settled router', 30, async () => {
      const state = await kernelState()
      return state.includes('reject with tcp reset') ? state : undefined
    })
    await writeFile(file('system.yaml'), text)
    const { systemFile } = await until('refused', 20, async () => {
      const status = await show<{ systemFile: { used: boolean; problems: string[] } }>('/v1/status')
      return problem.test(status.systemFile.problems.join('\n')) ? status : undefined
    })
    expect(systemFile.used).toBe(false)
    expect(await kernelState()).toBe(before)
    await writeFile(file('system.yaml'), changed)
    await until('used again', 20, async () =>
      (await show<{ systemFile: { used: boolean } }>('/v1/status')).systemFile.used ? true : undefined,
    )
  })

  test('a sticky client has one gateway, one by destination a gateway for each', async () => {
    const destinations = [internet, ...Array.from({ length: 8 }, (_, index) => `203.0.113.${16 + index}`)]
    onTestFinished(async () => {
      for (const destination of destinations) await shell(client, `ip route del ${destination}/32 || true`)
    })
    /** The exits of so many flows to each destination, all of them open at the same time. */
    const exitsOf = async (source: string, count: number, ...to: readonly string[]) => {
      const answers = await shell(
        client,
        `for to in ${to.join(' ')}; do ip route replace $to/32 via 192.168.50.240 src ${source}
           for flow in {1..${count}}; do exec {fd}<>/dev/tcp/$to/${echo}
             echo >&$fd; read -t 20 -u $fd line; echo "$to $line"; done; done`,
      )
      const lines = answers
        .trim()
        .split('\n')
        .map((line) => line.split(' '))
      return to.map((each) => new Set(lines.filter(([at]) => at === each).map(([, exit]) => exit)))
    }
    // As many as outweigh what earlier flows have left uneven.
    expect((await exitsOf('192.168.50.10', 24, internet))[0]?.size).toBe(2)
    expect((await exitsOf('192.168.50.20', 6, internet))[0]?.size).toBe(1)
    expect((await exitsOf('192.168.50.30', 6, internet))[0]?.size).toBe(1)
    // Several destinations of one client: each stays, and together they use both gateways.
    const exits = await exitsOf('192.168.50.30', 2, ...destinations.slice(1))
    expect(exits.map(({ size }) => size)).toEqual(exits.map(() => 1))
    expect(new Set(exits.flatMap((each) => [...each])).size).toBe(2)
  })
})

describe('routers that join late', () => {
  const joined = new Map<string, Agent>()

  test('pull over what they missed, silent flows too, and then are ready; one takes over and none is lost', async () => {
    // Each says a line every 60 s, one after the other: of most nothing is told by itself while the others start.
    const flows = await startFlows({ client, count: 30, intervalMs: 60_000, protocol: 'tcp' })
    for (const [index, namespace] of peers.entries()) {
      const name = `router-${index + 1}`
      await mkdir(file(`run-${name}`))
      joined.set(namespace, startAgent(namespace, name))
    }
    for (const namespace of joined.keys()) {
      await ready(namespace)
      const listed = await show<{ flows: { state: string; destinationPort: number }[] }>(
        '/v1/flows?client=192.168.50.10&limit=10000',
        namespace,
      )
      const own = listed.flows.filter((flow) => flow.state === 'ESTABLISHED' && flow.destinationPort === echo)
      expect(own.length).toBeGreaterThanOrEqual(30)
      const tracked = `conntrack -L -p tcp --dport ${echo} --state ESTABLISHED 2>/dev/null | wc -l`
      expect(Number(await shell(namespace, tracked))).toBeGreaterThanOrEqual(30)
      expect(await show('/v1/vrrp', namespace)).toMatchObject({ state: 'BACKUP', holdsVip: false })
    }

    const entries = async (namespace: string) =>
      Number(await shell(namespace, `conntrack -L -p tcp --dport ${echo} --state ESTABLISHED 2>/dev/null | wc -l`))
    const forget = (namespace: string) => shell(namespace, `conntrack -D -p tcp --dport ${echo} 2>/dev/null`)
    // A conntrackd that starts has all of the kernel's table in its cache, as if this standby had been the active router.
    const [standby, other] = peers
    const pid = Number.parseInt(await readFile(file('run-router-1/conntrackd.pid'), 'utf8'), 10)
    process.kill(pid, 'SIGKILL')
    await until('started anew and told', 60, async () => {
      const { conntrackd } = await show<{ conntrackd: { cached: number } | null }>('/v1/conntrack', standby)
      const now = Number.parseInt(await readFile(file('run-router-1/conntrackd.pid'), 'utf8'), 10)
      return now !== pid && conntrackd?.cached === 0 ? true : undefined
    })
    await forget(standby)
    // What the active router forgets the others do as well, and what the standby would have said was said before.
    const listing = await shell(other, `conntrack -L -p tcp --dport ${echo} --state ESTABLISHED 2>/dev/null | head -1`)
    const port = /sport=(\d+)/.exec(listing)?.[1]
    await shell(router, `conntrack -D -p tcp --dport ${echo} --sport ${port} 2>/dev/null`)
    await until('its entry is gone', 20, async () =>
      (await shell(other, `conntrack -L -p tcp --dport ${echo} --sport ${port} 2>/dev/null`)) === '' ? true : undefined,
    )
    for (const namespace of [router, other]) expect(await entries(namespace)).toBeGreaterThanOrEqual(29)

    // As if the active router had lost its gateways, and with them every entry; every two seconds a client speaks.
    await forget(router)
    // Ten clients may have spoken before a slow machine looks.
    await until('nobody has most of the entries', 20, async () => ((await entries(other)) <= 15 ? true : undefined))
    await flows.mark()
    await shell(hub, 'ip link set router-net1 down; ip link set router-net2 down')
    const holding = async () => {
      const held = await Promise.all(
        peers.map(async (namespace) => (await show<{ holdsVip: boolean }>('/v1/vrrp', namespace)).holdsVip),
      )
      return peers.filter((_, index) => held[index])
    }
    const holders = async () => (await holding()).length
    await until('one has taken over', 30, async () => ((await holders()) === 1 ? true : undefined))
    // Long before every client has spoken.
    const [next = standby] = await holding()
    await until('connection tracking knows what IPVS does', 20, async () =>
      (await entries(next)) >= 30 ? true : undefined,
    )
    await until('every flow has said something', 120, async () =>
      (await flows.report()).answers >= 30 ? true : undefined,
    )
    expect(await holders()).toBe(1)
    expect(await flows.report()).toMatchObject({ lost: 0, stalled: 0, alive: 30 })
    await flows.stop()
    for (const { child, ended: end } of joined.values()) {
      child.kill('SIGTERM')
      await end
    }
    await shell(hub, 'ip link set router-net1 up; ip link set router-net2 up')
    await inService({ [address(0)]: 100, [address(1)]: 300 })
  }, 900_000)
})

describe('a large table', () => {
  const flows = 100_000

  /** Asks so often from the router's namespace: the answers' lengths in time, in milliseconds, and the last answer. */
  async function fetchFrom(path: string, times: number): Promise<{ median: number; body: string }> {
    const script = `(async () => { const times = []; let body = ''
      for (let i = 0; i < ${times}; i += 1) { const t = performance.now()
        body = await (await fetch('http://127.0.0.1:9802${path}')).text(); times.push(performance.now() - t) }
      console.log(JSON.stringify({ median: times.sort((a, b) => a - b)[times.length >> 1], body })) })()`
    const text = await on(router)({ argv: [process.execPath, '-e', script], timeoutMs: 250_000 })
    return JSON.parse(text) as { median: number; body: string }
  }

  /** Tells the router of flows as another router would, by IPVS' own sync: the kernel takes them into its table. */
  async function tellOfFlows(from: number, to: number): Promise<void> {
    const gatewaysInService = [address(0), address(1)]
    const told = { from: '192.168.51.2', syncId: 51, gateways: gatewaysInService, first: from, end: to }
    await on(peers[0])({ ...tellingFlows(told), timeoutMs: 250_000 })
    await until('all in the table', 120, async () => {
      const active = (await metric('vpn_gateway_flows', 'state="active"')) ?? 0
      if (active < to) throw new Error(String(active))
      return true
    })
  }

  test('100,000 flows: a scrape costs what it cost before; one client of 20,000 is listed in pieces', async () => {
    const { median: idle } = await fetchFrom('/metrics', 15)
    // The kernel walks the table anew for each page of its list: time grows with the square of the flows.
    const some = flows / 5
    await tellOfFlows(0, some)
    const listing = await fetchFrom('/v1/flows?client=192.168.50.100&limit=5000', 1)
    expect(JSON.parse(listing.body)).toMatchObject({ count: some / 100, complete: true })
    expect(await show('/v1/flows?client=192.168.50.100&limit=10')).toMatchObject({ count: 10, complete: false })
    await tellOfFlows(some, flows)
    const { median: full } = await fetchFrom('/metrics', 15)
    console.log(
      `a scrape: ${idle.toFixed(0)} ms idle, ${full.toFixed(0)} ms with ${flows} flows; one client of ${some}: ${listing.median.toFixed(0)} ms`,
    )
    expect(full).toBeLessThan(2 * idle)
  }, 900_000)
})
