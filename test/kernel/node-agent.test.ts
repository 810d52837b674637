/**
 * Real node agents on two nodes that an underlay joins, with a pod's interface on each node's bridge. The nodes' own
 * firewall drops everything that it forwards, as hardened hosts and Docker have it.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createRunner, listFdb, listLinks, type Link, type Runner } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const nodes = [1, 2] as const
type NodeNumber = (typeof nodes)[number]
const node = (number: NodeNumber) => `na-node-${number}`
const pod = (number: NodeNumber) => `na-pod-${number}`
const namespaces = nodes.flatMap((number) => [node(number), pod(number)])
const main = fileURLToPath(new URL('../../dist/node-agent.mjs', import.meta.url))
const host = createRunner()

/** Commands that run in a namespace. */
const inside = (namespace: string): Runner => ({
  run: ({ argv, ...rest }) => host.run({ ...rest, argv: ['ip', 'netns', 'exec', namespace, ...argv] }),
})
/** One command line in a namespace; no word of it holds a blank. */
const on = (namespace: string, line: string): Promise<string> =>
  inside(namespace).run({ argv: line.split(' ') as [string, ...string[]], timeoutMs: 30_000 })
/** As `on`, with all output, whatever the exit code. */
const attempt = (namespace: string, line: string): Promise<string> =>
  inside(namespace).run({ argv: ['sh', '-c', `${line} 2>&1; true`], timeoutMs: 30_000 })

const system = (underlay: string) => `version: 1
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
const file = (name: string) => join(directory, `${name}.yaml`)

interface Agent {
  child: ChildProcess
  ended: Promise<number | null>
  /** Lines of standard error so far. */
  errors: () => string[]
}

const running = new Set<ChildProcess>()

function start(number: NodeNumber, name = 'multicast', path = process.env['PATH']): Agent {
  const argv = ['netns', 'exec', node(number), process.execPath, main]
  const options = ['--config', file(name), '--name', `node-${number}`, '--run-dir', join(directory, `run-${number}`)]
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

async function kill(agent: Agent): Promise<void> {
  agent.child.kill('SIGKILL')
  await agent.ended
}

/** Asks a node's agent over HTTP; rejects while nothing listens. */
async function ask(number: NodeNumber, path: string): Promise<{ status: number; body: string }> {
  const script = `exec 3<>/dev/tcp/127.0.0.1/9803 && printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`
  const answer = await inside(node(number)).run({ argv: ['timeout', '5', 'bash', '-c', script] })
  const [head = '', ...body] = answer.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), body: body.join('\r\n\r\n') }
}

/** Asks again until the answer holds; every try is a process of its own, which is pause enough. */
async function until<T>(what: string, check: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + 30_000
  for (;;) {
    const result = await check().catch(() => undefined)
    if (result !== undefined) return result
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`)
  }
}

const ready = (number: NodeNumber) =>
  until(`node ${number} ready`, async () => ((await ask(number, '/readyz')).status === 200 ? true : undefined))

const unready = (number: NodeNumber, reason: RegExp) =>
  until(`node ${number} unready: ${reason}`, async () => {
    const { status, body } = await ask(number, '/readyz')
    return status === 503 && reason.test(body) ? body : undefined
  })

async function metric(number: NodeNumber, name: string): Promise<number> {
  const { body } = await ask(number, '/metrics')
  const values = [...body.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].map((found) =>
    Number(found[1]),
  )
  return values.reduce((sum, value) => sum + value, 0)
}

/** Everything that the agent could have changed on a node. */
async function kernelState(number: NodeNumber): Promise<string> {
  const commands = ['ip -details link', 'ip address', 'ip route show table all', 'iptables-save', 'ip6tables-save']
  const parts = await Promise.all(commands.map((line) => on(node(number), line)))
  return parts
    .join('\n')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replaceAll(/\[\d+:\d+\]|_timer +[\d.]+/g, ''))
    .join('\n')
}

const linkOf = async (number: NodeNumber, name: string): Promise<Link | undefined> =>
  (await listLinks(inside(node(number)))).find((link) => link.name === name)

/** Three echoes of the size of a frame that fills the network's MTU, not to be fragmented. */
const fullSizePing = (count = 3, interval = '0.2') =>
  attempt(pod(1), `ping -M do -s 1392 -c ${count} -i ${interval} -W 2 192.168.50.2`)

/** The first of these pings without a loss: after a change of links the nodes have to find each other again. */
const crossing = () =>
  until('frames cross', async () => {
    const said = await fullSizePing()
    return said.includes(' 0% packet loss') ? said : undefined
  })

async function plug(number: NodeNumber): Promise<void> {
  await on(node(number), `ip link add pod0 mtu 1420 type veth peer name net1 netns ${pod(number)}`)
  await on(node(number), 'ip link set pod0 master vpn-gateway up')
  await on(pod(number), 'ip link set net1 mtu 1420 up')
  await on(pod(number), `ip address add 192.168.50.${number}/24 dev net1`)
}

beforeAll(async () => {
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
    // The address that duplicate detection would give it a second later is no change of the agent's.
    await on(node(number), 'sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1')
    await on(node(number), 'ip link set eth0 up')
    await on(node(number), `ip address add 172.30.0.${number}/24 dev eth0`)
    await on(node(number), 'ip route add default via 172.30.0.254')
    await on(node(number), 'iptables -P FORWARD DROP')
    await on(node(number), 'ip6tables -P FORWARD DROP')
    await on(node(number), 'sysctl -qw net.ipv4.ip_forward=1')
  }
})

afterAll(async () => {
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
})

describe('what does not fit the node is refused with exit code 2, a line that names it, and nothing changed', () => {
  /** Standard error of an agent that must end with 2 and leave the node as it was. */
  async function refused(name: string, underlay: string, path?: string): Promise<string[]> {
    await writeFile(file(name), system(underlay))
    const before = await kernelState(1)
    const agent = start(1, name, path)
    expect(await agent.ended).toBe(2)
    expect(agent.errors().join('\n')).not.toMatch(/^\s+at /m)
    expect(await kernelState(1)).toBe(before)
    return agent.errors()
  }
  const multicast = 'peers: { multicast: 239.192.50.50 }'

  test('an MTU that the real underlay is too small for', async () => {
    await on(node(1), 'ip link set eth0 mtu 1460')
    const problem = (network: string, mtu: number) =>
      `node-agent: ${file('mtu')}: ${network}.mtu: ${mtu} is more than the 1460 of eth0 on this node less 50 bytes of VXLAN: expected at most 1410`
    expect(await refused('mtu', multicast)).toEqual([problem('gatewayNetwork', 1420), problem('routerNetwork', 1450)])
    await on(node(1), 'ip link set eth0 mtu 1500')
  })

  test('an underlay that is not there', async () => {
    const errors = await refused('device', `device: eth7, ${multicast}`)
    expect(errors).toEqual([expect.stringContaining('underlay.device: "eth7": no such link on this node')])
  })

  test('a list of peers without this node', async () => {
    const errors = await refused('peers', 'peers: { addresses: [172.30.0.2] }')
    expect(errors).toEqual([expect.stringContaining("underlay.peers.addresses: 172.30.0.1, this node's address")])
  })

  test('a missing program', async () => {
    const errors = await refused('path', multicast, '/nonexistent')
    expect(errors).toContainEqual(expect.stringContaining('program bridge: not on PATH'))
  })
})

describe('in service', () => {
  let agents: Record<NodeNumber, Agent>

  beforeAll(async () => {
    agents = { 1: start(1), 2: start(2) }
    await Promise.all(nodes.map(ready))
    await Promise.all(nodes.map(plug))
  })

  test('frames of full size cross the bridges, though the nodes drop what they forward', async () => {
    expect(await fullSizePing()).toContain(' 0% packet loss')
    expect(await attempt(pod(1), 'ping -M do -s 1393 -c 1 -W 1 192.168.50.2')).toMatch(/too long|Frag needed/)
  })

  test('MACs are locally administered and differ between the nodes', async () => {
    const names = ['vpn-gateway', 'vpn-gateway-x', 'vpn-router', 'vpn-router-x']
    const links = await Promise.all(nodes.flatMap((number) => names.map((name) => linkOf(number, name))))
    const macs = links.map((link) => link?.mac)
    expect(new Set(macs).size).toBe(8)
    for (const mac of macs) expect(mac).toMatch(/^[0-9a-f][26ae]:/)
  })

  test('a node neither answers on the network nor routes from it', async () => {
    expect(await attempt(pod(1), 'arping -c 2 -w 2 -I net1 172.30.0.1')).toMatch(
      /Received 0 response|0 packets received/,
    )
    const mac = (await linkOf(1, 'vpn-gateway'))?.mac
    await on(pod(1), `ip neighbour add 192.168.50.77 lladdr ${mac} dev net1`)
    await on(pod(1), 'ip route add 172.30.0.0/24 via 192.168.50.77 dev net1')
    for (const address of ['172.30.0.1', '172.30.0.2']) {
      expect(await attempt(pod(1), `ping -c 1 -W 1 ${address}`)).toContain('100% packet loss')
    }
    expect(await on(node(1), 'ip -6 address show dev vpn-gateway')).toBe('')
  })

  test('the status says what is there and who was heard', async () => {
    const status = async () => JSON.parse((await ask(1, '/v1/status')).body) as object
    await expect.poll(status, { timeout: 60_000, interval: 500 }).toMatchObject({
      state: 'ready',
      underlay: { device: 'eth0', address: '172.30.0.1', mtu: 1500 },
      networks: [
        {
          network: 'gateway',
          bridge: { name: 'vpn-gateway', state: 'up', mtu: 1420 },
          vxlan: { name: 'vpn-gateway-x', state: 'up', mtu: 1420, vni: 50 },
          mtu: { configured: 1420, best: 1420 },
          ports: 1,
          peers: { group: '239.192.50.50', heard: { '172.30.0.2': expect.any(Number) } },
        },
        { network: 'router', mtu: { configured: 1450, best: 1450 } },
      ],
    })
    expect(await metric(1, 'vpn_gateway_node_network_peers_heard')).toBeGreaterThan(0)
    expect(await metric(1, 'vpn_gateway_node_link_up')).toBe(4)
  })

  test('killed and started again: no frame lost, no change to any link', async () => {
    const before = await kernelState(1)
    const monitor = spawn('ip', ['netns', 'exec', node(1), 'ip', 'monitor', 'link', 'address', 'route'])
    running.add(monitor)
    let seen = ''
    monitor.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
    const pinging = fullSizePing(60, '0.05')
    await kill(agents[1])
    agents[1] = start(1)
    await ready(1)
    expect(await pinging).toContain(' 0% packet loss')
    expect(await metric(1, 'reconcile_steps_total')).toBe(0)
    expect(await kernelState(1)).toBe(before)
    // The monitor has said all that came before an event of our own making.
    await on(node(1), 'ip link set lo mtu 60000')
    while (!seen.includes('mtu 60000')) await once(monitor.stdout, 'data')
    monitor.kill('SIGKILL')
    await once(monitor, 'close')
    running.delete(monitor)
    // The kernel says by itself how the pod's port of the bridge is; that is nobody's change.
    const ours = seen.split('\n').filter((line) => line.includes('vpn-') && !/^\d+: pod/.test(line))
    expect(ours).toEqual([])
  })

  test('told to end it leaves everything in place', async () => {
    const before = await kernelState(2)
    agents[2].child.kill('SIGTERM')
    await agents[2].ended
    expect(await kernelState(2)).toBe(before)
    agents[2] = start(2)
    await ready(2)
  })

  test.each([
    ['the VXLAN link deleted', 'ip link del vpn-gateway-x'],
    ['the bridge down, its MTU and MAC changed', 'ip link set vpn-gateway down mtu 1300 address 02:00:00:00:00:99'],
    ['the VXLAN link taken off the bridge', 'ip link set vpn-gateway-x nomaster'],
    ['the filter flushed', 'iptables -F'],
    [
      'the node made talkative',
      'sysctl -qw net.ipv4.conf.vpn-gateway.arp_ignore=0 net.ipv6.conf.vpn-gateway.disable_ipv6=0',
    ],
  ])('%s: put back', async (_name, line) => {
    const repaired = await metric(2, 'reconcile_drift_repaired_total')
    await on(node(2), line)
    await until('repaired', async () =>
      (await metric(2, 'reconcile_drift_repaired_total')) > repaired && (await ask(2, '/readyz')).status === 200
        ? true
        : undefined,
    )
    expect(await crossing()).toContain(' 0% packet loss')
  })

  test("the underlay's MTU shrinks: unready with the value that fits; grows again: ready", async () => {
    await on(node(1), 'ip link set eth0 mtu 1400')
    const body = await unready(1, /gatewayNetwork\.mtu/)
    expect(body).toContain('gatewayNetwork.mtu: 1420 is more than the 1400 of eth0')
    expect(body).toContain('expected at most 1350')
    expect(await metric(1, 'vpn_gateway_node_underlay_mtu_bytes')).toBe(1400)
    await on(node(1), 'ip link set eth0 mtu 1500')
    await ready(1)
    expect(await fullSizePing()).toContain(' 0% packet loss')
  })

  test('the underlay gone: unready; its address moved: the links follow', async () => {
    await on(node(1), 'ip route del default')
    await unready(1, /no IPv4 default route/)
    expect(await fullSizePing()).toContain(' 0% packet loss')
    await on(node(1), 'ip address del 172.30.0.1/24 dev eth0')
    await on(node(1), 'ip address add 172.30.0.7/24 dev eth0')
    await on(node(1), 'ip route add default via 172.30.0.254')
    await until('the new source address', async () =>
      (await linkOf(1, 'vpn-gateway-x'))?.vxlan?.local === '172.30.0.7' ? true : undefined,
    )
    await ready(1)
    expect(await crossing()).toContain(' 0% packet loss')
    await on(node(1), 'ip address del 172.30.0.7/24 dev eth0')
    await on(node(1), 'ip address add 172.30.0.1/24 dev eth0')
    await on(node(1), 'ip route replace default via 172.30.0.254')
    await until('the old source address', async () =>
      (await linkOf(1, 'vpn-gateway-x'))?.vxlan?.local === '172.30.0.1' ? true : undefined,
    )
    await ready(1)
  })

  test('a bridge of somebody else is left alone and named, the other network is complete; handed over it is used', async () => {
    await kill(agents[2])
    await on(node(2), 'ip link set pod0 nomaster')
    for (const name of ['vpn-gateway-x', 'vpn-gateway', 'vpn-router-x']) await on(node(2), `ip link del ${name}`)
    await on(node(2), 'ip link add vpn-gateway address 02:00:00:00:00:42 type bridge')
    const foreign = await on(node(2), 'ip link show vpn-gateway')
    agents[2] = start(2)
    await unready(2, /link vpn-gateway exists and is not ours/)
    expect(await on(node(2), 'ip link show vpn-gateway')).toBe(foreign)
    expect(await linkOf(2, 'vpn-gateway-x')).toBeUndefined()
    expect(await linkOf(2, 'vpn-router-x')).toMatchObject({ master: 'vpn-router', up: true, mtu: 1450 })
    expect(await on(node(2), 'iptables-save')).not.toContain('vpn-gateway ')
    await on(node(2), 'ip link set vpn-gateway alias vpn-gateway')
    await ready(2)
    await on(node(2), 'ip link set pod0 master vpn-gateway')
    expect(await crossing()).toContain(' 0% packet loss')
  })

  test('static peers in place of a group: one entry for each other node, and frames cross', async () => {
    for (const number of nodes) {
      await kill(agents[number])
      agents[number] = start(number, 'static')
    }
    await Promise.all(nodes.map(ready))
    const floods = (await listFdb(inside(node(1)), 'vpn-gateway-x')).filter(({ mac }) => mac === '00:00:00:00:00:00')
    expect(floods.map(({ dst }) => dst)).toEqual(['172.30.0.2'])
    expect(await fullSizePing()).toContain(' 0% packet loss')
    await on(node(1), 'bridge fdb append 00:00:00:00:00:00 dev vpn-gateway-x dst 172.30.0.9')
    await on(node(1), 'bridge fdb del 00:00:00:00:00:00 dev vpn-gateway-x dst 172.30.0.2')
    // Forwarding entries come and go with every MAC that is learned, so the agent does not listen to them.
    await on(node(1), 'ip link set lo mtu 50000')
    await until('entries put right', async () => {
      const entries = (await listFdb(inside(node(1)), 'vpn-gateway-x')).filter(({ mac }) => mac === '00:00:00:00:00:00')
      return entries.map(({ dst }) => dst).join(' ') === '172.30.0.2' ? true : undefined
    })
  })
})
