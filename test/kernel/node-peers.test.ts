/** Node agents whose peers are a name's addresses, on nodes that do to bridges what nodes do, and over IPv6. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ask,
  crossing,
  file,
  floods,
  floodsTo,
  host,
  inside,
  kill,
  linkOf,
  metric,
  node,
  nodes,
  on,
  plug,
  pod,
  ready,
  running,
  setUp,
  start,
  system,
  tearDown,
  unready,
  until,
  type Agent,
  type NodeNumber,
} from './two-nodes.ts'

const service = 'node-agent.vpn-gateway.svc'

/** What the name is answered with on a node: ip-netns(8) puts the file over /etc/hosts. */
async function answer(number: NodeNumber, ...addresses: string[]): Promise<void> {
  await writeFile(`/etc/netns/${node(number)}/hosts`, addresses.map((address) => `${address} ${service}\n`).join(''))
}

const status = async (number: NodeNumber): Promise<object> =>
  JSON.parse((await ask(number, '/v1/status')).body) as object

const byText = (a = '', b = ''): number => a.localeCompare(b)

let agents: Record<NodeNumber, Agent>

beforeAll(async () => {
  await setUp()
  await writeFile(file('dns'), system(`peers: { dns: ${service} }`))
  for (const number of nodes) {
    await mkdir(`/etc/netns/${node(number)}`, { recursive: true })
    await answer(number)
  }
})

afterAll(async () => {
  await tearDown()
  for (const number of nodes) await rm(`/etc/netns/${node(number)}`, { recursive: true, force: true })
})

describe("peers by a name's addresses", () => {
  test('without an answer the links are there and the node is not ready, and says why', async () => {
    agents = { 1: start(1, 'dns'), 2: start(2, 'dns') }
    await unready(1, /peers: not known yet: resolving node-agent\.vpn-gateway\.svc: E/)
    expect(await linkOf(1, 'vpn-gateway-x')).toMatchObject({ up: true, master: 'vpn-gateway' })
    expect(await floods(1)).toEqual([])
  })

  test('with one, every other node gets an entry, and frames cross', async () => {
    for (const number of nodes) await answer(number, '172.30.0.1', '172.30.0.2')
    await Promise.all(nodes.map(ready))
    await Promise.all(nodes.map(plug))
    await floodsTo(1, '172.30.0.2')
    expect(await crossing()).toContain(' 0% packet loss')
    expect(await status(1)).toMatchObject({ peers: { source: 'dns', count: 1, leaving: [] } })
  })

  test('who joins gets one entry in each network, and nothing else is touched', async () => {
    const before = await metric(1, 'reconcile_steps_total')
    const monitor = spawn('ip', ['netns', 'exec', node(1), 'bridge', 'monitor', 'fdb'])
    running.add(monitor)
    const seen: string[] = []
    createInterface({ input: monitor.stdout }).on('line', (line) => seen.push(line))
    await answer(1, '172.30.0.1', '172.30.0.2', '172.30.0.3')
    await floodsTo(1, '172.30.0.2', '172.30.0.3')
    await until('both networks', async () =>
      (await metric(1, 'reconcile_steps_total')) === before + 2 ? true : undefined,
    )
    // The monitor has said all that came before an entry of our own making.
    await on(node(1), 'bridge fdb append 02:00:00:00:00:77 dev vpn-gateway-x dst 172.30.0.77')
    while (!seen.some((line) => line.includes('172.30.0.77'))) await once(monitor.stdout, 'data')
    monitor.kill('SIGKILL')
    await once(monitor, 'close')
    running.delete(monitor)
    expect(seen.filter((line) => line.startsWith('Deleted 00:00:00:00:00:00'))).toEqual([])
    const told = seen.filter((line) => line.startsWith('00:00:00:00:00:00') && line.includes(' dst '))
    expect(told.map((line) => / dev (\S+) dst (\S+)/.exec(line)?.slice(1).join(' ')).toSorted(byText)).toEqual([
      'vpn-gateway-x 172.30.0.3',
      'vpn-router-x 172.30.0.3',
    ])
  })

  test('who is no longer answered is still sent to, also by an agent that starts meanwhile', async () => {
    await answer(1, '172.30.0.1')
    await until('leaving', async () =>
      JSON.stringify(await status(1)).includes('"leaving":["172.30.0.2","172.30.0.3"]') ? true : undefined,
    )
    await kill(agents[1])
    agents[1] = start(1, 'dns')
    await ready(1)
    expect(await floods(1)).toEqual(['172.30.0.2', '172.30.0.3'])
    expect(await metric(1, 'reconcile_steps_total')).toBe(0)
    expect(await crossing()).toContain(' 0% packet loss')
  })

  test('an agent that gets no answer leaves the entries as they are', async () => {
    await kill(agents[1])
    await answer(1)
    agents[1] = start(1, 'dns')
    await unready(1, /not known yet/)
    expect(await floods(1)).toEqual(['172.30.0.2', '172.30.0.3'])
    expect(await crossing()).toContain(' 0% packet loss')
    await answer(1, '172.30.0.1', '172.30.0.2')
    await ready(1)
  })
})

describe('peers by the nodes that the Kubernetes API lists', () => {
  let server: ChildProcess

  beforeAll(async () => {
    await writeFile(file('api'), system('peers: { kubernetes: nodes }'))
    // On the node itself, as far as the agent is concerned.
    const main = fileURLToPath(new URL('node-list.ts', import.meta.url))
    server = spawn('ip', ['netns', 'exec', node(1), process.execPath, main, '6443'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    running.add(server)
    await told('listening')
  })

  /** Resolves when the server has said the word. */
  async function told(word: string): Promise<void> {
    for (let said = ''; !said.includes(word);) said += String((await once(server.stdout ?? server, 'data'))[0])
  }

  async function tell(line: string): Promise<void> {
    const done = told('told')
    server.stdin?.write(`${line}\n`)
    await done
  }

  test('who joins and who leaves changes one entry in each network; what was missed meanwhile is listed anew', async () => {
    await kill(agents[1])
    for (const number of nodes) await tell(`ADDED node-${number} 172.30.0.${number}`)
    agents[1] = start(1, 'api', process.env['PATH'], ['--api-server', 'http://127.0.0.1:6443'])
    await ready(1)
    await floodsTo(1, '172.30.0.2')
    const before = await metric(1, 'reconcile_steps_total')
    const steps = (count: number) =>
      until(`${count} steps`, async () =>
        (await metric(1, 'reconcile_steps_total')) === before + count ? true : undefined,
      )
    await tell('ADDED node-3 172.30.0.3')
    await floodsTo(1, '172.30.0.2', '172.30.0.3')
    await steps(2)
    await tell('DELETED node-3')
    await floodsTo(1, '172.30.0.2')
    await steps(4)
    // Told nobody: only a list knows.
    await tell('SILENTLY node-4 172.30.0.4')
    await tell('GONE')
    await floodsTo(1, '172.30.0.2', '172.30.0.4')
    await steps(6)
    expect(await status(1)).toMatchObject({ state: 'ready', peers: { source: 'kubernetes', count: 2 } })
    expect(await crossing()).toContain(' 0% packet loss')
  })

  test('without the API server an agent goes on with what it has', async () => {
    server.kill('SIGKILL')
    await once(server, 'close')
    running.delete(server)
    await until('a problem', async () =>
      (await metric(1, 'vpn_gateway_node_peer_source_up')) === 0 ? true : undefined,
    )
    expect(await status(1)).toMatchObject({ state: 'ready', peers: { count: 2 } })
    expect(await floods(1)).toEqual(['172.30.0.2', '172.30.0.4'])
    await kill(agents[1])
    agents[1] = start(1, 'dns')
    await ready(1)
  })
})

describe('what nodes do to bridges', () => {
  test('a reverse-path filter and masquerading leave the frames as they are, and no flow is tracked', async () => {
    const state = node(1)
    await on(state, 'iptables -t raw -A PREROUTING -m rpfilter --invert -j DROP')
    await on(state, 'iptables -t nat -A POSTROUTING -j MASQUERADE')
    // The agent's own rules come first; it looks again when rules change.
    expect(await crossing()).toContain(' 0% packet loss')
    const tcpdump = spawn('ip', [
      'netns',
      'exec',
      pod(2),
      'tcpdump',
      '-lni',
      'net1',
      '-c',
      '1',
      'icmp and icmp[0] == 8',
    ])
    running.add(tcpdump)
    let seen = ''
    tcpdump.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
    const ended = once(tcpdump, 'close')
    await until('an echo', async () => (await crossing(), seen === '' ? undefined : true))
    await ended
    running.delete(tcpdump)
    expect(seen).toContain('192.168.50.1 > 192.168.50.2')
    const tracked = await inside(state)
      .run({ argv: ['conntrack', '-L', '-p', 'icmp'] })
      .catch(() => '')
    expect(tracked).not.toContain('192.168.50.')
    await on(state, 'iptables -t raw -D PREROUTING -m rpfilter --invert -j DROP')
    await on(state, 'iptables -t nat -D POSTROUTING -j MASQUERADE')
  })

  test('a manager of links, an address on a bridge, a firewall that drops and a rule out of reach are named', async () => {
    await on(node(2), 'ip address add 169.254.7.9/16 dev vpn-router')
    await on(node(2), 'iptables -t mangle -A PREROUTING -m rpfilter --invert --loose -j DROP')
    await inside(node(2)).run({
      argv: ['nft', '-f', '-'],
      stdin:
        'table inet strict {\nchain forward {\ntype filter hook forward priority 10; policy drop;\niifname "vpn-*" accept\n}\n}\n',
    })
    // As systemd-networkd writes it of a link that it takes.
    const index = (await on(node(2), 'cat /sys/class/net/vpn-gateway/ifindex')).trim()
    const managed = `/run/systemd/netif/links/${index}`
    await mkdir('/run/systemd/netif/links', { recursive: true })
    await writeFile(managed, 'ADMIN_STATE=configuring\n')
    await kill(agents[2])
    agents[2] = start(2, 'dns')
    await ready(2)
    const found = async () => JSON.parse((await ask(2, '/v1/findings')).body) as { finding: string; text: string }[]
    const named = await until('findings', async () => {
      const all = await found()
      return all.length >= 4 ? all : undefined
    })
    expect(named).toEqual(
      expect.arrayContaining([
        { finding: 'link-manager', text: expect.stringMatching(/^systemd-networkd manages vpn-gateway: /) },
        { finding: 'link-manager', text: expect.stringContaining('vpn-router 169.254.7.9/16') },
        { finding: 'reverse-path-filter', text: expect.stringContaining('mangle -A PREROUTING') },
        { finding: 'bridge-firewall', text: expect.stringContaining('inet strict forward') },
      ]),
    )
    expect(await metric(2, 'vpn_gateway_node_findings')).toBe(named.length)
    expect(await crossing()).toContain(' 0% packet loss')
    await rm(managed)
    await on(node(2), 'nft delete table inet strict')
    await on(node(2), 'iptables -t mangle -D PREROUTING -m rpfilter --invert --loose -j DROP')
    await on(node(2), 'ip address del 169.254.7.9/16 dev vpn-router')
  })

  test('a module that routers need before they start is named, and loaded where the system file says so', async () => {
    await kill(agents[2])
    const loaded = (await host.run({ argv: ['lsmod'] })).split('\n').map((line) => line.split(' ')[0] ?? '')
    const ipvs = loaded.filter((module) => module.startsWith('ip_vs'))
    await host.run({ argv: ['rmmod', ...ipvs.filter((module) => module !== 'ip_vs'), 'ip_vs'] })
    agents[2] = start(2, 'dns')
    await unready(2, /kernel module ip_vs: not loaded, needed by router pods: net\.ipv4\.vs/)
    expect(await metric(2, 'vpn_gateway_node_kernel_module_missing')).toBeGreaterThan(0)
    await kill(agents[2])
    await writeFile(file('load'), `${system(`peers: { dns: ${service} }`)}node: { loadModules: true }\n`)
    agents[2] = start(2, 'load')
    await ready(2)
    expect(await metric(2, 'vpn_gateway_node_kernel_module_missing')).toBe(0)
    await host.run({ argv: ['modprobe', '-a', ...ipvs] })
  })
})

test('over IPv6: by a group and by addresses, frames of the size that 70 bytes leave cross', async () => {
  for (const number of nodes) await kill(agents[number])
  const over = (peers: string) =>
    system(`ipFamily: 6, device: "2001:db8:30::/64", ${peers}`).replace('mtu: 1450', 'mtu: 1430')
  await writeFile(file('six-group'), over('peers: { multicast: "ff05::50" }'))
  await writeFile(file('six-list'), over('peers: { addresses: ["2001:db8:30::1", "2001:db8:30::2"] }'))
  for (const kind of ['six-group', 'six-list']) {
    for (const number of nodes) agents[number] = start(number, kind)
    await Promise.all(nodes.map(ready))
    expect((await linkOf(1, 'vpn-gateway-x'))?.vxlan).toMatchObject({ local: '2001:db8:30::1' })
    expect(await crossing()).toContain(' 0% packet loss')
    expect(await floods(1)).toEqual([kind === 'six-list' ? '2001:db8:30::2' : 'ff05::50'])
    for (const number of nodes) await kill(agents[number])
  }
})

test('told to remove, an agent takes away all that is its own and nothing else', async () => {
  for (const number of nodes) await kill(agents[number])
  agents[1] = start(1, 'dns')
  await ready(1)
  await on(node(1), 'ip link add other type bridge')
  await on(node(1), 'iptables -A FORWARD -s 203.0.113.1 -j ACCEPT')
  expect(await on(node(1), 'iptables-save')).toContain('VG-')
  await kill(agents[1])
  agents[1] = start(1, 'dns', process.env['PATH'], ['--remove', 'yes'])
  await ready(1)
  const names = (await on(node(1), 'ip -br link')).split('\n').map((line) => line.split(/[ @]/)[0])
  expect(names.filter((name) => name?.startsWith('vpn-'))).toEqual([])
  expect(names).toContain('other')
  const rules = await on(node(1), 'iptables-save')
  expect(rules).not.toContain('VG-')
  expect(rules).toContain('203.0.113.1')
  expect(await on(node(1), 'ip6tables-save')).not.toContain('VG-')
})
