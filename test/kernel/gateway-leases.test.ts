/**
 * Leased ports against a real NAT-PMP server: Debian's miniupnpd at the far end of a real WireGuard tunnel. Three
 * namespaces: the gateway's pod; a world that is the pod network, the provider and the service in one; the internet beyond
 * the provider. The agent is the bundle: `pnpm build` comes first. The tests are one story, in order.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createRunner, wireguardPublicKey, type Runner } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, expect, onTestFailed, test, vi } from 'vitest'
import { miniupnpdChains } from '../lab/src/topology/lease-server.ts'

const gateway = 'gl-gateway'
const world = 'gl-world'
const internet = 'gl-internet'
const namespaces = [gateway, world, internet]
const main = fileURLToPath(new URL('../../dist/gateway-agent.mjs', import.meta.url))
const command = fileURLToPath(new URL('../../dist/vpn-gateway.mjs', import.meta.url))
const host = createRunner()

const on =
  (namespace: string): Runner['run'] =>
  ({ argv, ...rest }) =>
    host.run({ ...rest, argv: ['ip', 'netns', 'exec', namespace, ...argv] })

/** Lines of a script, each a command, as root in a namespace; stops at the first that fails. */
const script = (namespace: string, lines: string) => on(namespace)({ argv: ['bash', '-e', '-c', lines] })

const key = (word: string) => createHash('sha256').update(word).digest('base64')
const gatewayKey = key('lease gateway')
const providerKey = key('lease provider')

/** miniupnpd forwards nothing for an address that is not of the public internet; this one is in nobody's use here. */
const exit = '11.0.0.21'
const service = '10.96.0.100'
/** Outside of the intranet, so that only the hook's own rule lets calls out to it. */
const hookAddress = '192.0.2.80'

const system = `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.50.0/24
  clients: 192.168.50.1-192.168.50.239
  vip: 192.168.50.240
  routers: 192.168.50.241-192.168.50.247
  gateways: 192.168.50.248-192.168.50.248
  mtu: 1420
  bridge: vpn-gateway
  vxlan: { vni: 5001 }
underlay:
  mtu: 1500
  peers: { multicast: 239.1.1.1 }
tunnel:
  probe: { targets: ['203.0.113.10:80'] }
gateway:
  drainSeconds: 0
  forwardsHook: http://${hookAddress}:8090/ports
forwards:
  - name: web
    protocol: both
    port: 45678
    to: { address: ${service}, port: 8080 }
  - name: torrent
    protocol: both
    lease: { protocol: nat-pmp, gateway: 10.9.0.1, lifetime: 30 }
    to: { address: ${service}, port: 6881 }
`

const running = new Set<ChildProcess>()

interface Program {
  child: ChildProcess
  lines: string[]
  /** Resolves with the first line, past or future, that holds the text. */
  said(text: string): Promise<string>
  kill(): Promise<void>
}

/** Starts a program in a namespace; what is still running at the end of the file is killed. */
function start(namespace: string, argv: readonly string[]): Program {
  const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  const ended = new Promise<void>((resolve) =>
    child.once('exit', () => {
      running.delete(child)
      resolve()
    }),
  )
  const lines: string[] = []
  const waiting: { text: string; resolve: (line: string) => void }[] = []
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line)
      for (const one of waiting) if (line.includes(one.text)) one.resolve(line)
    })
  }
  return {
    child,
    lines,
    said(text) {
      const past = lines.find((line) => line.includes(text))
      return past === undefined ? new Promise((resolve) => waiting.push({ text, resolve })) : Promise.resolve(past)
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Tries again until there is a result; every try is a process of its own, which is pause enough. */
async function until<T>(what: string, seconds: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  let last: unknown
  for (;;) {
    try {
      const result = await attempt()
      if (result !== undefined) return result
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`, { cause: last })
  }
}

// A lease of 30 s is renewed, runs out and, after the pauses of a silent server, comes back.
vi.setConfig({ testTimeout: 240_000 })

let directory = ''

function startAgent(): Program {
  const file = (name: string) => join(directory, name)
  return start(gateway, [
    process.execPath,
    main,
    `--config=${file('system.yaml')}`,
    '--name=gateway-0',
    `--tunnel=${file('good.conf')}`,
    `--run-dir=${file('run')}`,
    '--forwards-file=ports/forwards.json',
  ])
}

/** Forgets every mapping: what was open through one is shut from outside. */
async function forget(): Promise<void> {
  await rm(join(directory, 'leases'), { force: true })
  await script(world, 'for c in miniupnpd prerouting_miniupnpd; do nft flush chain inet filter $c; done')
}

/** Starts a server that gives no port at the exit below `lowest`; its epoch begins anew. */
async function startServer(lowest = 1024): Promise<Program> {
  const lines = [
    'ext_ifname=wan',
    `ext_ip=${exit}`,
    'listening_ip=wg0',
    'enable_natpmp=yes',
    'enable_upnp=no',
    'ipv6_disable=yes',
    'secure_mode=yes',
    `lease_file=${join(directory, 'leases')}`,
    `allow ${lowest}-65535 10.9.0.0/24 1024-65535`,
    'deny 0-65535 0.0.0.0/0 0-65535',
  ]
  await writeFile(join(directory, 'server.conf'), `${lines.join('\n')}\n`)
  const started = start(world, ['miniupnpd', '-d', '-f', join(directory, 'server.conf'), '-P', join(directory, 'pid')])
  await started.said('Listening for NAT-PMP')
  return started
}

interface Forward {
  name: string
  protocol: string
  port?: number
  packets: number
  bytes: number
  lease?: { expiresAt?: number; externalAddress?: string; problem?: string; internalPort: number }
}

async function get(path: string): Promise<{ status: number; body: string }> {
  const request = `GET ${path} HTTP/1.1\\r\\nHost: gateway\\r\\nConnection: close\\r\\n\\r\\n`
  const argv = ['timeout', '30', 'bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/9801 && printf '${request}' >&3 && cat <&3`]
  const answer = await on(gateway)({ argv: argv as [string, ...string[]], timeoutMs: 40_000 })
  const [head = '', ...body] = answer.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), body: body.join('\r\n\r\n') }
}

const forwards = async () => JSON.parse((await get('/v1/forwards')).body) as Forward[]
const leasedPorts = async () => (await forwards()).filter(({ lease }) => lease !== undefined)

/** Waits until both leases are at a port that `fits`. */
const leasedAt = (what: string, seconds: number, fits: (port: number | undefined) => boolean) =>
  until(what, seconds, async () => {
    const leased = await leasedPorts()
    return leased.every(({ port }) => fits(port)) ? leased : undefined
  })

async function metric(name: string, label = ''): Promise<number> {
  const { body } = await get('/metrics')
  const lines = body.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  return lines.filter((line) => line.includes(label)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** First line that a connection hears, or why there is none. */
async function hears(from: string, address: string, port: number): Promise<string> {
  const line = `(exec 3<>/dev/tcp/${address}/${port} && head -n 1 <&3) 2>&1 || true`
  return (await on(from)({ argv: ['timeout', '4', 'bash', '-c', line] }).catch(() => 'silence')).trim()
}

/** What one datagram of five bytes is answered with. */
async function hearsUdp(from: string, address: string, port: number): Promise<string> {
  const ask = `const s=require('dgram').createSocket('udp4');s.on('message',m=>{console.log(String(m));process.exit()})
    s.send('hello',${port},'${address}');setTimeout(()=>process.exit(1),15000)`
  return (await on(from)({ argv: [process.execPath, '-e', ask], timeoutMs: 30_000 })).trim()
}

/** Ports of the gateway's translations for TCP, as the kernel has them. */
async function translated(): Promise<number[]> {
  const text = await on(gateway)({ argv: ['iptables', '-t', 'nat', '-S', 'VG-PREROUTING'] })
  return [...text.matchAll(/-p tcp .*--dport (\d+) /g)].map((match) => Number(match[1])).sort((a, b) => a - b)
}

const cable = async (a: [string, string, string], b: [string, string, string]) => {
  await host.run({
    argv: ['ip', 'link', 'add', a[1], 'netns', a[0], 'type', 'veth', 'peer', 'name', b[1], 'netns', b[0]],
  })
  for (const [namespace, dev, address] of [a, b]) {
    await script(namespace, `ip address add ${address} dev ${dev}\nip link set ${dev} up`)
  }
}

/** The internet's target of probes, the service over TCP and UDP, and the hook, which refuses the first whole message. */
const servers = `
  const net=require('net'),say=(...a)=>console.log(...a)
  const tcp=(h,p)=>net.createServer(s=>{s.on('error',()=>{});s.write('caller '+s.remoteAddress+'\\n');s.pipe(s)}).listen(p,h)
  tcp('203.0.113.10',80);tcp('${service}',8080);tcp('${service}',6881)
  for(const port of [8080,6881]){const udp=require('dgram').createSocket('udp4').bind(port,'${service}')
    udp.on('message',(m,r)=>udp.send('datagram from '+r.address,r.port,r.address))}
  let refused=false
  require('http').createServer((q,r)=>{let b='';q.on('data',d=>b+=d).on('end',()=>{
    const {forwards}=JSON.parse(b),whole=forwards.every(f=>!f.lease||f.lease.externalAddress)
    r.writeHead(whole&&!refused?503:204).end();refused||=whole
    const t=forwards.find(f=>f.name==='torrent'&&f.protocol==='tcp')
    say('hook',JSON.stringify({from:q.socket.remoteAddress,method:q.method,url:q.url,port:t.port??null}))
    if(t.port){const s=net.connect(t.port,'10.9.0.2');s.on('error',e=>say('called',t.port,e.code)).on('data',d=>{say('called',t.port,String(d).trim());s.destroy()})}
  })}).listen(8090,'${hookAddress}',()=>say('listening'))`

let agent: Program
let server: Program
let listeners: Program

/** What the hook was called with, in order. */
const hookCalls = () =>
  listeners.lines
    .filter((line) => line.startsWith('hook '))
    .map((line) => JSON.parse(line.slice(5)) as { from: string; method: string; url: string; port: number | null })

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-leases-'))
  const file = (name: string, text: string) => writeFile(join(directory, name), text, { mode: 0o600 })
  await host.run({ argv: ['mkdir', '-p', join(directory, 'run/ports')] })
  await file('system.yaml', system)
  await file(
    'good.conf',
    `[Interface]\nPrivateKey = ${gatewayKey}\nAddress = 10.9.0.2/32\n[Peer]\nPublicKey = ${wireguardPublicKey(providerKey)}\nAllowedIPs = 0.0.0.0/0\nEndpoint = 198.51.100.20:51820\n`,
  )
  await file(
    'provider.conf',
    `[Interface]\nPrivateKey = ${providerKey}\nListenPort = 51820\n[Peer]\nPublicKey = ${wireguardPublicKey(gatewayKey)}\nAllowedIPs = 10.9.0.2/32\n`,
  )
  for (const namespace of namespaces) {
    await host.run({ argv: ['ip', 'netns', 'add', namespace] })
    await script(namespace, 'ip link set lo up')
  }
  await host.run({ argv: ['modprobe', '-a', 'wireguard', 'nft_compat', 'nf_conntrack'] }).catch(() => undefined)
  await cable([gateway, 'eth0', '10.42.0.5/16'], [world, 'eth0', '10.42.0.1/16'])
  await cable([internet, 'eth0', '11.0.0.99/24'], [world, 'wan', `${exit}/24`])
  await script(
    gateway,
    `ip route add default via 10.42.0.1
    ip link add net1 type veth peer name far
    ip address add 192.168.50.248/24 dev net1
    ip link set net1 up
    ip link set far up`,
  )
  await script(
    world,
    `sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.ip_forward=1
    for a in 198.51.100.20 203.0.113.10 ${service} ${hookAddress}; do ip address add $a/32 dev lo; done
    ip link add wg0 type wireguard
    wg setconf wg0 ${join(directory, 'provider.conf')}
    ip address add 10.9.0.1/24 dev wg0
    ip link set wg0 up
    nft -f - <<'EOF'
    table inet filter {
    ${miniupnpdChains}
      chain strays {
        type filter hook prerouting priority -300
        iif eth0 ip daddr 198.51.100.20 udp dport 51820 accept
        iif eth0 ip daddr 10.0.0.0/8 accept
        iif eth0 ip daddr ${hookAddress} tcp dport 8090 accept
        iif eth0 meta nfproto ipv4 counter comment "strays"
      }
    }
EOF`,
  )
  listeners = start(world, [process.execPath, '-e', servers])
  await listeners.said('listening')
  server = await startServer()
  agent = startAgent()
  await until('ready', 100, async () => ((await get('/readyz')).status === 200 ? true : undefined))
})

afterAll(async () => {
  await Promise.all([...running].map((child) => new Promise((resolve) => child.once('exit', resolve).kill('SIGKILL'))))
  for (const namespace of namespaces) await host.run({ argv: ['ip', 'netns', 'del', namespace] })
  await rm(directory, { recursive: true, force: true })
})

/** Says on failure what the agent, the server and the listeners said last. */
function explain(): void {
  onTestFailed(() => {
    for (const { lines } of [agent, server, listeners]) console.log(lines.slice(-40).join('\n'))
  })
}

test('a fixed port, translated for both protocols: two rules of nat each, and counters that are true', async () => {
  explain()
  const rules = await on(gateway)({ argv: ['iptables', '-t', 'nat', '-S'] })
  expect(rules.match(/--dport 45678 .*--to-destination 10\.96\.0\.100:8080/g)).toHaveLength(2)
  expect(rules.match(/-d 10\.96\.0\.100\/32 .*--dport 8080 -j MASQUERADE/g)).toHaveLength(2)
  const counted = async () => (await forwards()).filter(({ name }) => name === 'web')
  expect(await counted()).toMatchObject([{ packets: 0 }, { packets: 0 }])
  expect(await hearsUdp(world, '10.9.0.2', 45678)).toBe('datagram from 10.42.0.5')
  // 20 bytes of IP, 8 of UDP, 5 of what was said.
  expect(await counted()).toMatchObject([
    { protocol: 'tcp', packets: 0, bytes: 0 },
    { protocol: 'udp', packets: 1, bytes: 33 },
  ])
  expect(await hears(world, '10.9.0.2', 45678)).toBe('caller 10.42.0.5')
  const [tcp, udp] = await counted()
  // SYN, its acknowledgement and one of the line at least.
  expect(tcp?.packets).toBeGreaterThanOrEqual(3)
  expect(udp?.packets).toBe(1)
  expect(await metric('vpn_gateway_forward_packets_total', 'protocol="udp",port="45678"')).toBe(1)
})

test('a port is asked for, shown, written, and open from the internet to the service over TCP and UDP', async () => {
  explain()
  const leased = await leasedAt('leased', 60, (port) => port !== undefined)
  expect(leased.map(({ name, protocol }) => `${name} ${protocol}`)).toEqual(['torrent tcp', 'torrent udp'])
  const [tcp, udp] = leased
  expect(udp?.port).toBe(tcp?.port)
  expect(tcp?.lease).toMatchObject({ internalPort: 6881, protocol: 'nat-pmp', server: '10.9.0.1' })
  expect(await hears(internet, exit, tcp?.port ?? 0)).toBe('caller 10.42.0.5')
  expect(await hearsUdp(internet, exit, udp?.port ?? 0)).toBe('datagram from 10.42.0.5')
  const written = await until('the file says so', 30, async () => {
    const text = await readFile(join(directory, 'run/ports/forwards.json'), 'utf8')
    const document = JSON.parse(text) as { gateway: string; forwards: Forward[] }
    return document.forwards.every(({ lease }) => lease === undefined || lease.externalAddress !== undefined)
      ? document
      : undefined
  })
  expect(written).toMatchObject({
    gateway: 'gateway-0',
    forwards: [
      { name: 'web', protocol: 'tcp', port: 45678, to: { address: service, port: 8080 } },
      { name: 'web', protocol: 'udp', port: 45678, to: { address: service, port: 8080 } },
      { name: 'torrent', protocol: 'tcp', port: tcp?.port, lease: { externalAddress: exit } },
      { name: 'torrent', protocol: 'udp', port: udp?.port, lease: { externalAddress: exit } },
    ],
  })
  expect(await metric('vpn_gateway_forward_external_port', 'protocol="tcp"')).toBe(tcp?.port)
  expect(await metric('vpn_gateway_forward_lease_expiry_seconds', 'protocol="udp"')).toBeGreaterThan(Date.now() / 1000)
})

test('the hook is called over the pod network, again after a refusal, and its caller can use the port at once', async () => {
  explain()
  const { port } = (await leasedPorts())[0] ?? {}
  await listeners.said(`called ${port} caller 10.42.0.5`)
  await until('delivered', 60, async () =>
    (await metric('vpn_gateway_forward_hook_calls_total', 'delivered')) > 0 ? true : undefined,
  )
  expect(hookCalls().length).toBeGreaterThanOrEqual(2)
  for (const call of hookCalls()) expect(call).toMatchObject({ from: '10.42.0.5', method: 'POST', url: '/ports' })
  expect(await metric('vpn_gateway_forward_hook_calls_total', 'failed')).toBeGreaterThan(0)
})

test('it is renewed before it runs out, with the same port and without another call of the hook', async () => {
  explain()
  const [before] = await leasedPorts()
  const calls = hookCalls().length
  const first = before?.lease?.expiresAt ?? Number.NaN
  const after = await until('still leased when the first lease is over', 90, async () => {
    const [tcp] = await leasedPorts()
    return Date.now() / 1000 > first && (tcp?.lease?.expiresAt ?? 0) > first ? tcp : undefined
  })
  expect(after.port).toBe(before?.port)
  expect(await metric('vpn_gateway_forward_lease_renewals_total', 'protocol="tcp"')).toBeGreaterThanOrEqual(2)
  expect(await hears(internet, exit, after.port ?? 0)).toBe('caller 10.42.0.5')
  expect(hookCalls()).toHaveLength(calls)
})

test('a server that restarts and gives another port: followed without a gap, told, and what goes on is not cut', async () => {
  explain()
  const port = (await leasedAt('leased', 60, (each) => each !== undefined))[0]?.port ?? 0
  expect(await hears(world, '10.9.0.2', 45678)).toBe('caller 10.42.0.5')
  const web = async () => (await forwards()).find(({ name }) => name === 'web')?.packets ?? 0
  const packets = await web()
  expect(packets).toBeGreaterThan(0)
  // A flow through the first port, which says a line every half second, and stops when one does not come back.
  const flow = start(internet, [
    'bash',
    '-c',
    `exec 3<>/dev/tcp/${exit}/${port}; read -r l <&3; n=0; while echo $((++n)) >&3 && read -t 20 -r l <&3; do echo heard $l; sleep 0.5; done; echo cut`,
  ])
  onTestFailed(() => console.log(flow.lines.slice(-3).join('\n')))
  await flow.said('heard 2')
  for (const [former, next] of [
    [port, port + 1],
    [port + 1, port + 2],
  ] as const) {
    // Providers that deliver to the external port: the tunnel's end is called there all the while.
    const caller = start(world, [
      'bash',
      '-c',
      `n=0; while timeout 30 bash -c 'exec 3<>/dev/tcp/10.9.0.2/${former}; read -r l <&3'; do echo call $((++n)); done; echo refused`,
    ])
    await caller.said('call 1')
    await server.kill()
    server = await startServer(next)
    await leasedAt(`leased at ${next}`, 60, (each) => each === next)
    // The port of before is translated until its own time is over, half of a lease from here; the hook may take longer.
    const more = `call ${caller.lines.length + 1}`
    expect(await Promise.race([caller.said(more), caller.said('refused')])).toBe(more)
    await listeners.said(`called ${next} caller 10.42.0.5`)
    expect(await hears(internet, exit, next)).toBe('caller 10.42.0.5')
    await caller.kill()
  }
  await agent.said('NAT-PMP server forgot its mappings')
  await until('the port between is not translated any more', 60, async () =>
    (await translated()).includes(port + 1) ? undefined : true,
  )
  // 6881 is the port at this end of the tunnel, whatever the exit's is.
  expect(await translated()).toEqual([...new Set([6881, port + 2, 45678])].sort((a, b) => a - b))
  const heard = Number(flow.lines.at(-1)?.replace('heard ', ''))
  expect(await Promise.race([flow.said(`heard ${heard + 2}`), flow.said('cut')])).toBe(`heard ${heard + 2}`)
  await flow.kill()
  // Chains of other forwards were replaced; this one's count went on.
  expect(await web()).toBeGreaterThanOrEqual(packets)
})

test('a killed agent is started again: no rule changes, the port is the same', async () => {
  explain()
  const [before] = await leasedPorts()
  // Its rules are known from what the agent before wrote: the exit's port is not the one at this end of the tunnel.
  expect(before?.port).not.toBe(before?.lease?.internalPort)
  const rules = await translated()
  await agent.kill()
  agent = startAgent()
  await until('ready', 100, async () => ((await get('/readyz')).status === 200 ? true : undefined))
  const leased = await leasedAt('renewed', 60, (port) => port !== undefined)
  expect(leased[0]?.port).toBe(before?.port)
  expect(await metric('reconcile_steps_total')).toBe(0)
  expect(await translated()).toEqual(rules)
})

test('the command line shows the gateway, and plans nothing beside its agent, leased ports and hook included', async () => {
  explain()
  const planned = (forwardsFile: string) => {
    const options = ['--agent=gateway', `--tunnel=${join(directory, 'good.conf')}`, `--forwards-file=${forwardsFile}`]
    const argv = [process.execPath, command, 'plan', ...options, join(directory, 'system.yaml')]
    return on(gateway)({ argv: argv as [string, ...string[]], timeoutMs: 100_000 })
  }
  expect(await planned(join(directory, 'run/ports/forwards.json'))).toBe('nothing to change\n')
  const asked = [process.execPath, command, 'status', '--agent', 'http://127.0.0.1:9801', '--timeout', '30'] as const
  expect(await on(gateway)({ argv: asked, timeoutMs: 100_000 })).toMatch(/^gateway-0 +up +- +\d+ s ago +ready$/m)
  // Who knows of no lease would take its port away.
  const { port } = (await leasedPorts())[0] ?? {}
  expect(await planned(join(directory, 'none.json'))).toContain(`VG-TCP-${port}`)
})

test('after a reconnect all is asked for again at once', async () => {
  explain()
  const count = (text: string) => agent.lines.filter((line) => line.includes(text)).length
  const asked = () => count('asking for all leased ports')
  const before = asked()
  await script(world, 'ip link set wg0 down')
  await until('down', 60, async () => ((await get('/readyz')).status === 503 ? true : undefined))
  await server.kill()
  await forget()
  await script(world, 'ip link set wg0 up')
  server = await startServer()
  await until('ready and asked for again', 100, async () =>
    (await get('/readyz')).status === 200 && asked() > before ? true : undefined,
  )
  const { port } = (await leasedAt('leased', 30, (each) => each !== undefined))[0] ?? {}
  await until('mapped by the new server', 30, async () =>
    (await hears(internet, exit, port ?? 0)) === 'caller 10.42.0.5' ? true : undefined,
  )
  // Once for each time that the tunnel came up, which on a busy machine may be more than one.
  expect(asked()).toBeLessThanOrEqual(count('"tunnel up"'))
})

test('a server that is silent for longer than the lease: the loss is shown, told and counted; then it is back', async () => {
  explain()
  const port = (await leasedPorts())[0]?.port ?? 0
  const failures = await metric('vpn_gateway_forward_lease_failures_total', 'silence')
  await server.kill()
  const lost = await leasedAt('lost', 120, (each) => each === undefined)
  expect(lost[0]?.lease?.problem).toBe('no answer from 10.9.0.1')
  expect(await metric('vpn_gateway_forward_lease_failures_total', 'silence')).toBeGreaterThan(failures)
  expect(await metric('vpn_gateway_forward_external_port')).toBe(0)
  await listeners.said('"port":null')
  expect((await get('/readyz')).status).toBe(200)
  server = await startServer()
  await leasedAt('leased again', 150, (each) => each === port)
  expect(await hears(internet, exit, port)).toBe('caller 10.42.0.5')
})

test('in all of this nothing left by the pod network but WireGuard, the cluster and the hook', async () => {
  expect(await hears(gateway, hookAddress, 8091)).toMatch(/No route to host|unreachable|refused|prohibited/i)
  const text = await on(world)({ argv: ['nft', 'list', 'chain', 'inet', 'filter', 'strays'] })
  expect(/counter packets (\d+)/.exec(text)?.[1]).toBe('0')
})
