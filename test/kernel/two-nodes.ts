/**
 * Two nodes that an underlay joins, with real node agents, and a pod's interface on each node's bridge. The nodes' own
 * firewall drops everything that it forwards, as hardened hosts and Docker have it.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createRunner, listFdb, listLinks, type Link, type Runner } from '@vpn-gateway/kernel'

export const nodes = [1, 2] as const
export type NodeNumber = (typeof nodes)[number]
export const node = (number: NodeNumber) => `na-node-${number}`
export const pod = (number: NodeNumber) => `na-pod-${number}`
const namespaces = nodes.flatMap((number) => [node(number), pod(number)])
const main = fileURLToPath(new URL('../../dist/node-agent.mjs', import.meta.url))
export const host = createRunner()

/** Commands that run in a namespace. */
export const inside = (namespace: string): Runner => ({
  run: ({ argv, ...rest }) => host.run({ ...rest, argv: ['ip', 'netns', 'exec', namespace, ...argv] }),
})
/** One command line in a namespace; no word of it holds a blank. */
export const on = (namespace: string, line: string, timeoutMs = 30_000): Promise<string> =>
  inside(namespace).run({ argv: line.split(' ') as [string, ...string[]], timeoutMs })
/** As `on`, with all output, whatever the exit code. */
export const attempt = (namespace: string, line: string): Promise<string> =>
  inside(namespace).run({ argv: ['sh', '-c', `${line} 2>&1; true`], timeoutMs: 30_000 })

export const system = (underlay: string) => `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.50.0/24
  clients: 192.168.50.1-192.168.50.239
  vip: 192.168.50.240
  routers: 192.168.50.241-192.168.50.247
  gateways: 192.168.50.248-192.168.50.254
  mtu: 1420
  bridge: vpn-gateway
  vxlan: { vni: 50 }
routerNetwork:
  subnet: 192.168.51.0/24
  mtu: 1450
  bridge: vpn-router
  vxlan: { vni: 51 }
underlay: { mtu: 1500, ${underlay} }
`
let directory = ''
export const file = (name: string) => join(directory, `${name}.yaml`)

export interface Agent {
  child: ChildProcess
  ended: Promise<number | null>
  /** Lines of standard error so far. */
  errors: () => string[]
}

export const running = new Set<ChildProcess>()

export function start(number: NodeNumber, name = 'multicast', path = process.env['PATH'], more: string[] = []): Agent {
  const argv = ['netns', 'exec', node(number), process.execPath, main]
  const options = [
    '--config',
    file(name),
    '--name',
    `node-${number}`,
    '--run-dir',
    join(directory, `run-${number}`),
    ...more,
  ]
  // By its full path: a test takes everything else off PATH.
  const child = spawn('/sbin/ip', [...argv, ...options], {
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  running.add(child)
  let errors = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const ended = once(child, 'close').then(([code]) => (running.delete(child), code as number | null))
  return { child, ended, errors: () => errors.trim().split('\n') }
}

export async function kill(agent: Agent): Promise<void> {
  agent.child.kill('SIGKILL')
  await agent.ended
}

/** Asks a node's agent over HTTP; rejects while nothing listens. */
export async function ask(number: NodeNumber, path: string): Promise<{ status: number; body: string }> {
  const script = `exec 3<>/dev/tcp/127.0.0.1/9803 && printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`
  const answer = await inside(node(number)).run({ argv: ['timeout', '30', 'bash', '-c', script] })
  const [head = '', ...body] = answer.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), body: body.join('\r\n\r\n') }
}

/** Milliseconds, a little less than a test has: emulated on a busy machine, an agent's start alone may take a minute. */
const patience = 110_000

/** Asks again until the answer holds; every try is a process of its own, which is pause enough. */
export async function until<T>(what: string, check: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + patience
  for (;;) {
    const result = await check().catch(() => undefined)
    if (result !== undefined) return result
    if (Date.now() > deadline) throw new Error(`not within ${patience / 1000} s: ${what}`)
  }
}

export async function ready(number: NodeNumber): Promise<void> {
  let said = ''
  await until(`node ${number} ready`, async () => {
    const { status, body } = await ask(number, '/readyz')
    said = body
    return status === 200 ? true : undefined
  }).catch((error: Error) => {
    throw new Error(`${error.message}; it says: ${said}`)
  })
}

export const unready = (number: NodeNumber, reason: RegExp) =>
  until(`node ${number} unready: ${reason}`, async () => {
    const { status, body } = await ask(number, '/readyz')
    return status === 503 && reason.test(body) ? body : undefined
  })

export async function metric(number: NodeNumber, name: string): Promise<number> {
  const { body } = await ask(number, '/metrics')
  const values = [...body.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].map((found) =>
    Number(found[1]),
  )
  return values.reduce((sum, value) => sum + value, 0)
}

/** Everything that the agent could have changed on a node. */
export async function kernelState(number: NodeNumber): Promise<string> {
  const commands = ['ip -details link', 'ip address', 'ip route show table all', 'iptables-save', 'ip6tables-save']
  const parts = await Promise.all(commands.map((line) => on(node(number), line)))
  return parts
    .join('\n')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replaceAll(/\[\d+:\d+\]|_timer +[\d.]+/g, ''))
    .join('\n')
}

export const linkOf = async (number: NodeNumber, name: string): Promise<Link | undefined> =>
  (await listLinks(inside(node(number)))).find((link) => link.name === name)

/** Who the gateway network of a node floods to, in order. */
export async function floods(number: NodeNumber): Promise<string[]> {
  const entries = await listFdb(inside(node(number)), 'vpn-gateway-x')
  return entries
    .filter(({ mac }) => mac === '00:00:00:00:00:00')
    .map(({ dst }) => dst ?? '')
    .sort()
}

/** Waits until it floods to exactly these. */
export const floodsTo = (number: NodeNumber, ...addresses: string[]) =>
  until(`node ${number} floods to ${addresses.join(' ')}`, async () =>
    (await floods(number)).join() === addresses.join() ? true : undefined,
  )

/** Three echoes of the size of a frame that fills the network's MTU, not to be fragmented. */
export const fullSizePing = (count = 3, interval = '0.2') =>
  attempt(pod(1), `ping -M do -s 1392 -c ${count} -i ${interval} -W 2 192.168.50.2`)

/** The first of these pings without a loss: after a change of links the nodes have to find each other again. */
export const crossing = () =>
  until('frames cross', async () => {
    const said = await fullSizePing()
    return said.includes(' 0% packet loss') ? said : undefined
  })

export async function plug(number: NodeNumber): Promise<void> {
  await on(node(number), `ip link add pod0 mtu 1420 type veth peer name net1 netns ${pod(number)}`)
  await on(node(number), 'ip link set pod0 master vpn-gateway up')
  await on(pod(number), 'ip link set net1 mtu 1420 up')
  await on(pod(number), `ip address add 192.168.50.${number}/24 dev net1`)
}

/** Makes the nodes and their cables, and the system files `multicast` and `static`. */
export async function setUp(): Promise<void> {
  directory = await mkdtemp(join(tmpdir(), 'node-agent-'))
  await writeFile(file('multicast'), system('peers: { multicast: 239.192.50.50 }'))
  await writeFile(file('static'), system('device: 172.30.0.0/24, peers: { addresses: [172.30.0.1, 172.30.0.2] }'))
  await host.run({ argv: ['modprobe', '-a', 'br_netfilter', 'nft_compat'] }).catch(() => undefined)
  for (const namespace of namespaces) {
    await host.run({ argv: ['ip', 'netns', 'add', namespace] })
    await on(namespace, 'ip link set lo up')
  }
  await on(node(1), `ip link add eth0 type veth peer name eth0 netns ${node(2)}`)
  for (const number of nodes) {
    // An address that duplicate detection gives it a second later would look like a change of the agent's.
    await on(node(number), 'sysctl -qw net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.addr_gen_mode=1')
    await on(node(number), 'ip link set eth0 up')
    await on(node(number), `ip address add 2001:db8:30::${number}/64 dev eth0`)
    await on(node(number), `ip address add 172.30.0.${number}/24 dev eth0`)
    await on(node(number), 'ip route add default via 172.30.0.254')
    await on(node(number), 'iptables -P FORWARD DROP')
    await on(node(number), 'ip6tables -P FORWARD DROP')
    await on(node(number), 'sysctl -qw net.ipv4.ip_forward=1')
  }
}

/** Ends all agents and takes the nodes away. */
export async function tearDown(): Promise<void> {
  const ends = [...running].map((child) => {
    const end = once(child, 'close')
    child.kill('SIGKILL')
    return end
  })
  await Promise.all(ends)
  for (const namespace of namespaces) {
    // What an agent that was killed had running lives on, and would keep the namespace alive.
    const pids = await host.run({ argv: ['ip', 'netns', 'pids', namespace] })
    for (const pid of pids.split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL')
    await host.run({ argv: ['ip', 'netns', 'del', namespace] })
  }
  await rm(directory, { recursive: true, force: true })
}
