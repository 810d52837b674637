/**
 * Two real router-agents with real keepalived, conntrackd and IPVS between a client and three plain gateways, which only
 * masquerade. The agents are the bundle: `pnpm build` comes first. Switches are bridges in a namespace of their own, so
 * that a router can be cut off without a carrier that goes down.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { healthAddress } from '@vpn-gateway/config'
import { createRunner, type Runner } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFailed, test } from 'vitest'

const routers = ['ra-router-1', 'ra-router-2'] as const
const gateways = ['ra-gateway-1', 'ra-gateway-2', 'ra-gateway-3'] as const
const [client, internet, hub] = ['ra-client', 'ra-internet', 'ra-switch']
const namespaces = [hub, client, internet, ...routers, ...gateways]
const vip = '192.168.50.240'
const main = fileURLToPath(new URL('../../dist/router-agent.mjs', import.meta.url))
const host = createRunner()

type RouterName = (typeof routers)[number]

/** Runs a command in a namespace. */
const on = (namespace: string, ...argv: string[]) =>
  host.run({ argv: ['ip', 'netns', 'exec', namespace, ...argv], timeoutMs: 60_000 })
/** Runs iproute2 commands in a namespace, in one process. */
const ip = (namespace: string, ...lines: string[]) =>
  host.run({ argv: ['ip', '-n', namespace, '-batch', '-'], stdin: `${lines.join('\n')}\n` } satisfies Parameters<
    Runner['run']
  >[0])

const system = `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.50.0/24
  clients: 192.168.50.1-192.168.50.239
  vip: ${vip}
  routers: 192.168.50.241-192.168.50.247
  gateways: 192.168.50.248-192.168.50.250
  mtu: 1420
  bridge: vpn-gateway
  vxlan: { vni: 50 }
routerNetwork:
  subnet: 192.168.51.0/24
  mtu: 1450
  bridge: vpn-router
  vxlan: { vni: 51 }
underlay:
  mtu: 1500
  peers: { multicast: 239.192.50.50 }
router:
  advertInterval: 0.2
`

const running = new Set<ChildProcess>()
let directory = ''

function start(namespace: string, argv: readonly string[], path?: string): ChildProcess {
  const env = { ...process.env, LC_ALL: 'C', ...(path === undefined ? {} : { PATH: path }) }
  // By its full path: the test of a missing program takes everything else off PATH.
  const child = spawn('/sbin/ip', ['netns', 'exec', namespace, ...argv], { env, stdio: ['pipe', 'pipe', 'pipe'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

interface Agent {
  child: ChildProcess
  ended: Promise<{ code: number | null }>
  log: string[]
  errors: string[]
}

function startAgent(name: RouterName, options: { file?: string; link?: string; path?: string } = {}): Agent {
  const child = start(
    name,
    [
      process.execPath,
      main,
      `--name=${name}`,
      `--config=${options.file ?? join(directory, 'system.yaml')}`,
      `--interface=${options.link ?? 'net1'}`,
      '--router-interface=net2',
      `--run-dir=${join(directory, name)}`,
    ],
    options.path,
  )
  const agent: Agent = {
    child,
    ended: new Promise((resolve) => child.once('exit', (code) => resolve({ code }))),
    log: [],
    errors: [],
  }
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes')
  createInterface({ input: child.stdout }).on('line', (line) => agent.log.push(line))
  createInterface({ input: child.stderr }).on('line', (line) => agent.errors.push(line))
  started.set(name, agent)
  return agent
}

/** Asks a router's agent over HTTP; the shell's own TCP needs no program that may be absent. */
async function ask(name: RouterName, path: string): Promise<{ status: number; body: string }> {
  const request = `GET ${path} HTTP/1.1\\r\\nHost: router\\r\\nConnection: close\\r\\n\\r\\n`
  const script = `exec 3<>/dev/tcp/127.0.0.1/9802 && printf '${request}' >&3 && cat <&3`
  const [head = '', ...body] = (await on(name, 'timeout', '10', 'bash', '-c', script)).split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), body: body.join('\r\n\r\n') }
}

/** Asks again until the answer holds; every try is a process of its own, which is pause enough. */
async function until<T>(what: string, seconds: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  let last: unknown
  for (;;) {
    const result = await attempt().catch((error: unknown) => void (last = error))
    if (result !== undefined) return result
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`, { cause: last })
  }
}

const started = new Map<RouterName, Agent>()

const whenReady = (name: RouterName) =>
  until(`${name} ready`, 90, async () => {
    const { status, body } = await ask(name, '/readyz')
    if (status === 200) return true
    throw new Error(body)
  }).catch((error: unknown) => {
    const { errors = [], log = [] } = started.get(name) ?? {}
    throw new Error([String(error), ...errors, ...log.slice(-10)].join('\n'), { cause: error })
  })

async function holders(): Promise<RouterName[]> {
  const held = await Promise.all(routers.map((name) => on(name, 'ip', '-brief', 'address', 'show', 'dev', 'net1')))
  return routers.filter((_, index) => held[index]?.includes(`${vip}/`))
}

const oneHolder = (other?: RouterName) =>
  until('one router holds the VIP', 30, async () => {
    const [only, ...more] = await holders()
    return more.length === 0 && only !== other ? only : undefined
  })

const services = async (name: RouterName) => on(name, 'cat', '/proc/net/ip_vs')
const serving = async (name: RouterName) => (await services(name)).match(/Route +100 /g)?.length ?? 0

async function metric(name: RouterName, series: string): Promise<number> {
  const { body } = await ask(name, '/metrics')
  const values = [...body.matchAll(new RegExp(`^${series}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].map((match) =>
    Number(match[1]),
  )
  return values.reduce((sum, value) => sum + value, 0)
}

/** Everything that an agent could have changed; counters left out. */
async function kernelState(name: RouterName): Promise<string> {
  const script =
    'ip rule; ip route show table all; iptables-save; ip6tables-save; nft --stateless list table ip vpn_gateway_orphans 2>&1; sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.ipv4.vs.sync_threshold'
  return (
    (await on(name, 'bash', '-c', script))
      .split('\n')
      // Duplicate address detection changes link-local addresses and their routes for a second by itself.
      .filter((line) => !line.startsWith('#') && !/fe80::|ff00::/.test(line))
      .map((line) => line.replace(/\[\d+:\d+\]/, ''))
      .join('\n')
  )
}

/** Long-lived flows of the client, a line each 250 ms; told about on its standard output when asked by a line. */
interface FlowReport {
  open: number
  errors: string[]
  exits: Record<string, number>
  /** Flows without an answer in the last two seconds. */
  silent: number
}

const flowProgram = `
const net = require('net'), flows = []
for (let i = 0; i < Number(process.argv[1]); i++) {
  const s = net.connect(9000, '203.0.113.10'), f = { last: 0, exit: '', error: '', open: false }
  flows.push(f)
  s.setNoDelay()
  s.on('connect', () => { f.open = true; setInterval(() => f.open && s.write('x\\n'), 250) })
  s.on('data', (d) => { f.last = Date.now(); f.exit = d.toString().split('\\n')[0].replace('::ffff:', '') })
  s.on('error', (e) => { f.error = e.code })
  s.on('close', () => { f.open = false })
}
process.stdin.on('data', () => {
  const exits = {}
  for (const f of flows) exits[f.exit] = (exits[f.exit] ?? 0) + 1
  console.log(JSON.stringify({ open: flows.filter((f) => f.open).length, errors: flows.map((f) => f.error).filter(Boolean),
    exits, silent: flows.filter((f) => Date.now() - f.last > 2000).length }))
})`

function startFlows(count: number): { report(): Promise<FlowReport>; stop(): void } {
  const child = start(client, [process.execPath, '-e', flowProgram, String(count)])
  if (child.stdout === null) throw new Error('no pipe')
  const lines = createInterface({ input: child.stdout })
  return {
    async report() {
      const line = once(lines, 'line')
      child.stdin?.write('?\n')
      return JSON.parse(String((await line)[0])) as FlowReport
    },
    stop: () => void child.kill('SIGKILL'),
  }
}

const allAlive = (flows: ReturnType<typeof startFlows>, count: number) =>
  until(`all ${count} flows have answers`, 40, async () => {
    const report = await flows.report()
    expect(report.errors).toEqual([])
    return report.open === count && report.silent === 0 ? report : undefined
  })

/**
 * Drops all frames of a router's ports on both switches: no carrier loss, no goodbye. Not in the forward hook: with
 * br_netfilter loaded, packets that its hook there has let pass skip all others of its priority, 0.
 */
const cut = (name: RouterName) => {
  const ports = `{ "${portOf(name, 'net1')}", "${portOf(name, 'net2')}" }`
  const chain = (hook: string, match: string) =>
    `chain ${hook} {\ntype filter hook ${hook} priority ${hook === 'prerouting' ? -350 : 350};\n${match} ${ports} drop\n}\n`
  const stdin = `table bridge cut {\n${chain('prerouting', 'iifname')}${chain('postrouting', 'oifname')}}\n`
  return host.run({ argv: ['ip', 'netns', 'exec', hub, 'nft', '-f', '-'], stdin })
}
const heal = () => on(hub, 'nft', 'delete', 'table', 'bridge', 'cut')

/** What a gateway's agent holds while its tunnel carries traffic. */
const health = (index: number) => `${healthAddress(`192.168.50.${248 + index}`)}/32`

/** Name of a switch's port, 15 characters at most. */
const portOf = (namespace: string, device: string) => `${namespace.replace('ra-', '')}-${device}`

async function plug(namespace: string, device: string, bridge: string, address: string): Promise<void> {
  const port = portOf(namespace, device)
  await host.run({
    argv: ['ip', 'link', 'add', device, 'netns', namespace, 'type', 'veth', 'peer', 'name', port, 'netns', hub],
  })
  await ip(hub, `link set ${port} master ${bridge} up`)
  await ip(namespace, `link set ${device} up`, `address add ${address} dev ${device}`)
}

/** What a gateway's agent would say; a file each, served by busybox. */
async function gatewaySays(gateway: string, state: 'ready' | 'draining'): Promise<void> {
  await writeFile(join(directory, gateway, 'readyz'), JSON.stringify({ state, reasons: [] }))
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'router-agent-'))
  await writeFile(join(directory, 'system.yaml'), system)
  const modules = ['ip_vs', 'ip_vs_wlc', 'nf_conntrack', 'nf_conntrack_netlink', 'nft_compat', 'xt_iprange', 'xt_mark']
  await host.run({ argv: ['modprobe', '-a', ...modules, 'nft_reject_ipv4', 'veth', 'bridge'] })
  await host.run({ argv: ['ip', '-batch', '-'], stdin: namespaces.map((name) => `netns add ${name}\n`).join('') })
  await Promise.all(namespaces.map((name) => ip(name, 'link set lo up')))
  for (const name of namespaces) {
    await on(name, 'sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0')
  }
  await ip(
    hub,
    ...['vpn', 'sync', 'wan'].flatMap((name) => [
      `link add ${name} type bridge mcast_snooping 0`,
      `link set ${name} up`,
    ]),
  )
  await plug(client, 'net1', 'vpn', '192.168.50.10/24')
  await plug(internet, 'eth0', 'wan', '203.0.113.10/24')
  await ip(client, `route add default via ${vip}`)
  for (const [index, gateway] of gateways.entries()) {
    await plug(gateway, 'net1', 'vpn', `192.168.50.${248 + index}/24`)
    await plug(gateway, 'eth0', 'wan', `203.0.113.${21 + index}/24`)
    await on(
      gateway,
      'sysctl',
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.ipv4.conf.all.send_redirects=0',
      'net.ipv4.conf.net1.send_redirects=0',
    )
    await on(gateway, 'iptables', '-t', 'nat', '-A', 'POSTROUTING', '-o', 'eth0', '-j', 'MASQUERADE')
    await ip(gateway, `route add 192.168.50.0/25 via ${vip}`, `address add ${health(index)} dev net1 scope link`)
    await mkdir(join(directory, gateway))
    await gatewaySays(gateway, 'ready')
    start(gateway, ['busybox', 'httpd', '-f', '-p', '9801', '-h', join(directory, gateway)])
  }
  for (const [index, router] of routers.entries()) {
    await plug(router, 'net1', 'vpn', `192.168.50.${241 + index}/24`)
    await plug(router, 'net2', 'sync', `192.168.51.${1 + index}/24`)
  }
  const echo = `require('net').createServer(s=>{s.on('error',()=>{});s.on('data',()=>s.write(s.remoteAddress+'\\n'))}).listen(9000,()=>console.log('up'))`
  const server = start(internet, [process.execPath, '-e', echo])
  if (server.stdout !== null) await once(server.stdout, 'data')
})

afterAll(async () => {
  const ends = [...running].map((child) => {
    const end = once(child, 'exit')
    child.kill('SIGKILL')
    return end
  })
  await Promise.all(ends)
  for (const name of routers) {
    // The daemons outlive their agents by design.
    for (const daemon of ['keepalived', 'conntrackd']) {
      const pid = Number.parseInt(await readFile(join(directory, name, `${daemon}.pid`), 'utf8').catch(() => ''), 10)
      if (pid > 0) process.kill(-pid, 'SIGKILL')
    }
  }
  await host.run({ argv: ['ip', '-batch', '-'], stdin: namespaces.map((name) => `netns del ${name}\n`).join('') })
  await rm(directory, { recursive: true, force: true })
})

describe('what is missing is refused with exit code 2, one line that names it, and nothing changed', () => {
  async function outcome(options: Parameters<typeof startAgent>[1]) {
    const before = await kernelState(routers[0])
    const agent = startAgent(routers[0], options)
    const { code } = await agent.ended
    return { code, errors: agent.errors, changed: (await kernelState(routers[0])) !== before }
  }
  const refused = (line: RegExp) => ({ code: 2, errors: [expect.stringMatching(line) as string], changed: false })

  test('a program', async () => {
    const path = join(directory, 'bin')
    await mkdir(path)
    const there = [
      'conntrackd',
      'conntrack',
      'ip',
      'ipvsadm',
      'nft',
      'iptables-save',
      'iptables-restore',
      'ip6tables-save',
      'ip6tables-restore',
      'mkfifo',
      'chrt',
    ]
    for (const program of there) await symlink('/bin/true', join(path, program))
    expect(await outcome({ path })).toEqual(refused(/program keepalived: not on PATH \(Debian package keepalived\)$/))
  })

  test("the scheduler's kernel module", async () => {
    // The machine loads all schedulers; this one is in nobody's use.
    await host.run({ argv: ['modprobe', '-r', 'ip_vs_sh'] }).catch(() => undefined)
    const file = join(directory, 'scheduler.yaml')
    await writeFile(file, system.replace('router:', 'router:\n  scheduler: sh'))
    expect(await outcome({ file })).toEqual(
      refused(/kernel module ip_vs_sh: not loaded: expected "modprobe ip_vs_sh" on the node$/),
    )
  })

  test('a link, and an address of the range', async () => {
    expect(await outcome({ link: 'net9' })).toEqual(refused(/interface net9: not present in this network namespace$/))
    expect(await outcome({ link: 'net2' })).toEqual(
      refused(/interface net2: has 192\.168\.51\.1, expected one of gatewayNetwork\.routers/),
    )
  })
})

describe('two routers', () => {
  const agents = new Map<RouterName, Agent>()
  const count = 12
  let flows: ReturnType<typeof startFlows>

  beforeEach(() => {
    onTestFailed(() => {
      for (const name of routers)
        console.log([`${name} said:`, ...(started.get(name)?.log.slice(-40) ?? [])].join('\n'))
    })
  })

  beforeAll(async () => {
    for (const name of routers) agents.set(name, startAgent(name))
    await Promise.all(routers.map(whenReady))
    await until('all gateways in service', 40, async () =>
      (await Promise.all(routers.map(serving))).every((each) => each === 3) ? true : undefined,
    )
  })

  test('one of them holds the VIP, and each says what it is', async () => {
    const active = await oneHolder()
    for (const name of routers) {
      const vrrp = JSON.parse((await ask(name, '/v1/vrrp')).body) as object
      expect(vrrp).toMatchObject({ state: name === active ? 'MASTER' : 'BACKUP', holdsVip: name === active, vip })
      expect(await metric(name, 'keepalived_vrrp_state')).toBe(name === active ? 2 : 1)
      expect(JSON.parse((await ask(name, '/v1/status')).body)).toMatchObject({
        state: 'ready',
        ipvsSync: { sender: true, receiver: true },
        liveGateways: ['192.168.50.248', '192.168.50.249', '192.168.50.250'],
        reconcile: { converged: true, pending: [] },
      })
    }
  })

  test('flows spread evenly, and both routers know them', async () => {
    flows = startFlows(count)
    const { exits } = await allAlive(flows, count)
    expect(exits).toEqual({ '203.0.113.21': 4, '203.0.113.22': 4, '203.0.113.23': 4 })
    for (const name of routers) {
      await until(`${name} knows all flows`, 30, async () => {
        const ipvs = (await on(name, 'cat', '/proc/net/ip_vs_conn')).match(/ESTABLISHED/g)?.length
        const tracked = (await on(name, 'conntrack', '-L', '-p', 'tcp', '--dport', '9000')).match(
          /ESTABLISHED/g,
        )?.length
        return ipvs === count && tracked === count ? true : undefined
      })
    }
    const shown = async () => {
      const { services: all } = JSON.parse((await ask(await oneHolder(), '/v1/ipvs')).body) as {
        services: { realServers: { activeConnections: number; state: string }[] }[]
      }
      return all[0]?.realServers.map(({ activeConnections, state }) => `${activeConnections} ${state}`).join()
    }
    // A gateway whose agent was too busy to answer in time is silent until it is asked again.
    await until('the router shows them', 20, async () =>
      (await shown()) === '4 ready,4 ready,4 ready' ? true : undefined,
    )
  })

  test('ICMP echo passes; private destinations and the routers themselves are out of reach', async () => {
    expect(await on(client, 'ping', '-c', '1', '-W', '5', '203.0.113.10')).toContain(' 1 received')
    const say = (script: string) => on(client, 'timeout', '10', 'bash', '-c', `(${script}) 2>&1 || true`)
    expect(await say('ping -c 1 -W 5 10.1.2.3')).toContain('Packet filtered')
    expect(await say(`exec 3<>/dev/tcp/${vip}/9802`)).toMatch(/No route to host|refused/)
  })

  test('an agent that is killed and comes back finds all as it was and changes nothing', async () => {
    const active = await oneHolder()
    // The active one's VIP would be gone by then: it is lent by the agent.
    const name = routers.find((each) => each !== active) ?? active
    const pids = () =>
      Promise.all(
        ['keepalived', 'conntrackd'].map((daemon) => readFile(join(directory, name, `${daemon}.pid`), 'utf8')),
      )
    const before = [await kernelState(name), ...(await pids())]
    const old = agents.get(name)
    old?.child.kill('SIGKILL')
    await old?.ended
    agents.set(name, startAgent(name))
    await whenReady(name)
    expect([await kernelState(name), ...(await pids())]).toEqual(before)
    expect(await metric(name, 'reconcile_steps_total')).toBe(0)
    expect(await oneHolder()).toBe(active)
    await allAlive(flows, count)
  })

  test('a draining gateway keeps its flows and gets no new ones', async () => {
    await gatewaySays(gateways[0], 'draining')
    const active = await oneHolder()
    await until('weight 0', 20, async () =>
      /C0A832F8:0000 +Route +0 /.test(await services(active)) ? true : undefined,
    )
    const more = startFlows(4)
    expect(Object.keys((await allAlive(more, 4)).exits)).not.toContain('203.0.113.21')
    more.stop()
    expect((await allAlive(flows, count)).exits['203.0.113.21']).toBe(4)
    await gatewaySays(gateways[0], 'ready')
    await until('weight 100', 20, async () => ((await serving(active)) === 3 ? true : undefined))
  })

  test('the active router is cut off silently: the other goes on with all flows, and stays when it heals', async () => {
    const active = await oneHolder()
    await cut(active)
    const next = await until('the other one took over', 20, async () =>
      (await holders()).find((name) => name !== active),
    )
    await allAlive(flows, count)
    // A router that sees no gateway is worth less, so that it yields when the cut heals.
    await until('the router that was cut off sees no gateway', 30, async () =>
      (await serving(active)) === 0 ? true : undefined,
    )
    await until('it says so', 30, async () => {
      const { status, body } = await ask(active, '/readyz')
      return status === 503 && body.includes('no live gateway') ? true : undefined
    })
    await heal()
    expect(await oneHolder(active)).toBe(next)
    await whenReady(active)
    await allAlive(flows, count)
    expect(
      await metric(next, 'vpn_gateway_vrrp_transitions_total\\{to="MASTER",cause="peer-silent"\\}'),
    ).toBeGreaterThan(0)
  })

  test('a router that is told to end hands over at once; what it leaves is closed', async () => {
    await until('both have all gateways again', 40, async () =>
      (await Promise.all(routers.map(serving))).every((each) => each === 3) ? true : undefined,
    )
    const active = await oneHolder()
    const agent = agents.get(active)
    agent?.child.kill('SIGTERM')
    expect(await agent?.ended).toEqual({ code: 0 })
    expect(await oneHolder(active)).not.toBe(active)
    await allAlive(flows, count)
    expect(await on(active, 'iptables', '-S', 'FORWARD')).toContain('-P FORWARD DROP')
    agents.set(active, startAgent(active))
    await whenReady(active)
    expect(await metric(active, 'reconcile_steps_total\\{object="iptables"[^}]*\\}')).toBe(0)
  })

  test('a VIP that was left behind is nobody’s: it goes with its lifetime, and no second router becomes active', async () => {
    const active = await oneHolder()
    const standby = routers.find((each) => each !== active) ?? active
    const became = () => metric(standby, 'vpn_gateway_vrrp_transitions_total\\{to="MASTER"[^}]*\\}')
    const before = await became()
    // As a renewal does that comes just after keepalived has removed the VIP.
    await ip(standby, `address add ${vip}/24 dev net1 valid_lft 8 preferred_lft 8`)
    expect(await oneHolder(standby)).toBe(active)
    expect(await became()).toBe(before)
    await allAlive(flows, count)
  })

  /** Why a router steps back; waits until another one alone has the VIP. */
  const reasonOfSteppingBack = async (active: RouterName) => {
    await until('the other one takes over', 60, async () => {
      const [only, ...more] = await holders()
      return more.length === 0 && only !== undefined && only !== active ? true : undefined
    })
    return (JSON.parse((await ask(active, '/v1/vrrp')).body) as { yields: string | null }).yields
  }

  test('a router whose keepalived hangs steps back, and no flow is lost', async () => {
    const active = await oneHolder()
    const pid = Number.parseInt(await readFile(join(directory, active, 'keepalived-parent.pid'), 'utf8'), 10)
    // Its children go on, but nobody would start them anew, and no changed file is read.
    process.kill(pid, 'SIGSTOP')
    expect(await reasonOfSteppingBack(active)).toBe('another router is worth more')
    await allAlive(flows, count)
    process.kill(pid, 'SIGCONT')
    await whenReady(active)
  })

  test('a router that sees fewer gateways than the other steps back', async () => {
    const active = await oneHolder()
    const unseen = healthAddress('192.168.50.248')
    await ip(active, `neigh replace ${unseen} dev net1 lladdr 02:00:00:00:00:99 nud permanent`)
    expect(await reasonOfSteppingBack(active)).toBe('another router is worth more')
    await ip(active, `neigh del ${unseen} dev net1`)
    await whenReady(active)
    // What went through that gateway was reset by the router that did not see it.
    flows.stop()
    flows = startFlows(count)
    await allAlive(flows, count)
  })

  test('without a live gateway nothing passes, and a router says why it is not ready', async () => {
    for (const [index, gateway] of gateways.entries()) await ip(gateway, `address del ${health(index)} dev net1`)
    const active = await oneHolder()
    await until('no gateway in service', 30, async () => (/->.*Route/.test(await services(active)) ? undefined : true))
    // One that is first to see none steps back for the other, until that one sees none either.
    await until('it says why, and nothing else', 40, async () => {
      const { status, body } = await ask(active, '/readyz')
      const { state, reasons } = JSON.parse(body) as { state: string; reasons: string[] }
      return status === 503 && state === 'unready' && reasons.join() === 'no live gateway' ? true : undefined
    })
    // While the VIP changes hands once more there is silence.
    const say = (script: string) =>
      on(client, 'timeout', '10', 'bash', '-c', `(${script}) 2>&1 || true`).catch(() => 'silence')
    await until('a ping is refused', 20, async () =>
      (await say('ping -c 1 -W 5 203.0.113.10')).includes('Unreachable') ? true : undefined,
    )
    await until('a connection is refused', 60, async () =>
      /refused|No route to host/.test(await say('exec 3<>/dev/tcp/203.0.113.10/9000')) ? true : undefined,
    )
    await until('its flows are reset', 20, async () => ((await flows.report()).open === 0 ? true : undefined))
    // Still so, and not because it has a gateway again.
    expect(await services(await oneHolder())).not.toMatch(/->.*Route/)
  })
})
