/** Real node agents: what is refused, what stays, what is put right. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { loadSystem, networkAttachments } from '@vpn-gateway/config'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ask,
  attempt,
  crossing,
  file,
  floods,
  floodsTo,
  fullSizePing,
  inside,
  kernelState,
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

beforeAll(setUp)
afterAll(tearDown)

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

  test('the command line shows the node on one screen, and plans nothing beside its agent', async () => {
    const command = fileURLToPath(new URL('../../dist/vpn-gateway.mjs', import.meta.url))
    const asked = (...args: string[]) => on(node(1), [process.execPath, command, ...args].join(' '), 100_000)
    const row = /^node-1 +eth0 172\.30\.0\.1 +1500 +4 of 4 up +1 +group +ready$/m
    // Who was heard is forgotten when nobody has spoken for a while.
    let shown = ''
    await until('the node on one screen', async () => {
      shown = await asked('status', '--agent', 'http://127.0.0.1:9803', '--timeout', '30')
      return row.test(shown) ? true : undefined
    }).catch(() => undefined)
    expect(shown).toMatch(row)
    expect(await asked('plan', '--agent', 'node', '--name', 'node-1', file('multicast'))).toBe('nothing to change\n')
  })

  test('killed and started again: no frame lost, no change to any link', async () => {
    // Fifteen seconds after it joined, a bridge tells once more of each port (br_forward_delay_timer_expired).
    await until('the bridges have said all of their ports', async () =>
      /forward_delay_timer +(?!0\.00|\s)/.test(await on(node(1), 'ip -details link')) ? undefined : true,
    )
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
    // A timer that shows as over may still have to tell of the port (timers fire up to half a second late): the pod's, which
    // was plugged in last. It is none of the agent's links.
    const ours = seen.split('\n').filter((line) => line.includes('vpn-') && !/^\d+: pod0@/.test(line))
    expect(ours.join('\n')).toBe('')
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

  test("a bridge that CNI's plugin made for a pod that came first is taken over, and the pod's frames cross", async () => {
    await kill(agents[2])
    await on(pod(2), 'ip link del net1')
    for (const name of ['vpn-gateway-x', 'vpn-gateway']) await on(node(2), `ip link del ${name}`)
    // As after the start of a node: the very attachment, but for its address, and no agent yet.
    const [attachment] = networkAttachments(await loadSystem(file('multicast')))
    const { cniVersion, name, plugins } = JSON.parse(attachment?.spec.config ?? '') as { [key: string]: unknown } & {
      plugins: object[]
    }
    const environment = ['COMMAND=ADD', 'CONTAINERID=early', `NETNS=/run/netns/${pod(2)}`, 'IFNAME=net1', 'PATH=/none']
    await inside(node(2)).run({
      argv: ['env', ...environment.map((each) => `CNI_${each}`), '/usr/lib/cni/bridge'],
      stdin: JSON.stringify({ ...plugins[0], cniVersion, name, ipam: {} }),
    })
    await on(pod(2), 'ip address add 192.168.50.2/24 dev net1')
    const before = await on(node(2), 'ip -br link show master vpn-gateway')
    expect(await linkOf(2, 'vpn-gateway')).toMatchObject({ kind: 'bridge', mtu: 1420 })
    agents[2] = start(2)
    await ready(2)
    expect(await linkOf(2, 'vpn-gateway')).toMatchObject({ alias: 'vpn-gateway', mtu: 1420, up: true })
    expect(await on(node(2), 'ip -br link show master vpn-gateway')).toContain(before.trim())
    expect(await crossing()).toContain(' 0% packet loss')
  })

  test('static peers in place of a group: one entry for each other node, and frames cross', async () => {
    for (const number of nodes) {
      await kill(agents[number])
      agents[number] = start(number, 'static')
    }
    await Promise.all(nodes.map(ready))
    expect(await floods(1)).toEqual(['172.30.0.2'])
    expect(await fullSizePing()).toContain(' 0% packet loss')
    await on(node(1), 'bridge fdb append 00:00:00:00:00:00 dev vpn-gateway-x dst 172.30.0.9')
    await on(node(1), 'bridge fdb del 00:00:00:00:00:00 dev vpn-gateway-x dst 172.30.0.2')
    // Forwarding entries come and go with every MAC that is learned, so the agent does not listen to them.
    await on(node(1), 'ip link set lo mtu 50000')
    await floodsTo(1, '172.30.0.2')
  })
})
