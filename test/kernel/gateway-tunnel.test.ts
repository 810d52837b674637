/**
 * What a tunnel must carry and what must not be taken for its end: loss, load, other kinds of probes, small packets, IPv6.
 * The real gateway-agent against a real WireGuard peer, with an inner MTU of 1280 between a client's 1420 and the world's.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { wireguardPublicKey } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { openFlow } from './client-flow.ts'
import { clientProgram, followClient } from './client-record.ts'
import {
  createGatewayWorld,
  exampleSystem,
  key,
  tunnelText,
  until,
  type Agent,
  type Provider,
} from './gateway-world.ts'

const provider: Provider = {
  dev: 'provider',
  port: 51820,
  privateKey: key('provider'),
  gatewayKey: key('gateway'),
  gatewayAddress: '10.9.0.2',
}
const targets = (list: string) => exampleSystem.replace("['203.0.113.10:80']", list)
const made = await createGatewayWorld('gt', targets("['203.0.113.10:80', '203.0.113.10:81']"))
const { client, world, inGateway, inClient, inWorld, directory, ask } = made
const tunnelFile = join(directory, 'gateway-0.conf')

/** As most exports are: a network of clients without IPv6 makes no use of it. */
const withIpv6 = (text: string) => text.replace('/32\n', '/32, fd00:9::2/128\n').replace('0.0.0.0/0', '0.0.0.0/0, ::/0')

let agent: Agent
const failing = () => onTestFailed(() => console.log(agent.log.slice(-60).join('\n')))
const downs = () => agent.log.filter((line) => line.includes('"tunnel down"')).length
const state = async () => (JSON.parse((await ask('/v1/tunnel')).body) as { state: string }).state

/** Serves `bytes` of zeros at port 90 and takes as many at port 91, saying how many came. */
const bulk = `
  const net = require('net'), chunk = Buffer.alloc(65536)
  net.createServer((s) => {
    s.on('error', () => {})
    let left = 0
    const push = () => { while (left > 0) { left -= chunk.length; if (!s.write(chunk)) return } s.end() }
    s.once('data', (d) => { left = Number(String(d)); push() })
    s.on('drain', push)
  }).listen(90, '203.0.113.10')
  net.createServer({ allowHalfOpen: true }, (s) => {
    s.on('error', () => {})
    let n = 0
    s.on('data', (d) => { n += d.length })
    s.on('end', () => s.end('took ' + n))
  }).listen(91, '203.0.113.10', () => console.log('listening'))`

const fetchBytes = (bytes: number, seconds: number) =>
  inClient({
    argv: ['timeout', String(seconds), 'bash', '-c', `exec 3<>/dev/tcp/203.0.113.10/90; echo ${bytes} >&3; wc -c <&3`],
    timeoutMs: (seconds + 5) * 1000,
  })

/** SYNs that came in on a link: those whose MSS fits the tunnel, and those whose does not. */
const syn = (dev: string, mss: string) => [
  'PREROUTING',
  '-i',
  dev,
  '-p',
  'tcp',
  '--tcp-flags',
  'SYN,RST',
  'SYN',
  '-m',
  'tcpmss',
  '--mss',
  mss,
]
async function countSyns(run: typeof inWorld): Promise<number[]> {
  const text = await run({ argv: ['iptables', '-t', 'mangle', '-L', 'PREROUTING', '-nvx'] })
  return [...text.matchAll(/^\s*(\d+) .*tcpmss/gm)].map((match) => Number(match[1]))
}

beforeAll(async () => {
  await made.openWorld(['198.51.100.20', '203.0.113.10'], [['198.51.100.20', 51820]])
  await made.openProvider(provider)
  await made.listen([
    ['203.0.113.10', 80],
    ['203.0.113.10', 81],
  ])
  const server = made.start(world, [process.execPath, '-e', bulk])
  await new Promise((resolve) => server.stdout?.once('data', resolve))
  // Pods' interfaces on the gateway network have its MTU; an offload would hide what goes over the wire.
  for (const run of [inClient, inGateway]) await run({ argv: ['ip', 'link', 'set', 'net1', 'mtu', '1420'] })
  for (const [run, dev] of [
    [inWorld, 'provider'],
    [inClient, 'net1'],
  ] as const) {
    for (const mss of ['1:1240', '1241:65535'])
      await run({ argv: ['iptables', '-t', 'mangle', '-A', ...syn(dev, mss)] })
  }
  await writeFile(tunnelFile, withIpv6(tunnelText(provider, '198.51.100.20:51820', ['MTU = 1280'])))
  agent = await made.startReady({ tunnel: tunnelFile })
})
afterAll(() => made.close())

test('a large transfer works in both directions, and neither end sends what does not fit', async () => {
  failing()
  const bytes = 4 * 1024 * 1024
  expect((await fetchBytes(bytes, 60)).trim()).toBe(String(bytes))
  const half = `require('net').connect({host:'203.0.113.10',port:91},function(){this.end(Buffer.alloc(${bytes}))}).on('data',d=>process.stdout.write(d))`
  expect(await inClient({ argv: ['timeout', '60', process.execPath, '-e', half], timeoutMs: 65_000 })).toBe(
    `took ${bytes}`,
  )
  // What each end was told to send at most, by the SYN that came in.
  for (const run of [inWorld, inClient]) {
    const [fits = 0, tooBig = 0] = await countSyns(run)
    expect(fits).toBeGreaterThan(0)
    expect(tooBig).toBe(0)
  }
})

test('path-MTU discovery: what does not fit is refused with the size that does', async () => {
  failing()
  const big = 'ping -n -c 1 -W 5 -M do -s 1300 203.0.113.10 2>&1 || true'
  expect(await inClient({ argv: ['bash', '-c', big] })).toMatch(/mtu ?= ?1280/)
  expect(await inClient({ argv: ['ip', 'route', 'get', '203.0.113.10'] })).toContain('mtu 1280')
  expect(
    await inClient({ argv: ['ping', '-n', '-c', '1', '-W', '5', '-M', 'do', '-s', '1252', '203.0.113.10'] }),
  ).toContain(' 1 received')
})

test('IPv6 is dropped: a client that has it gets nothing through, and nothing leaves, not by the tunnel either', async () => {
  failing()
  await inClient({ argv: ['ip', 'address', 'add', 'fd00:50::10/64', 'dev', 'net1', 'nodad'] })
  await inGateway({ argv: ['ip', 'address', 'add', 'fd00:50::f8/64', 'dev', 'net1', 'nodad'] })
  await inClient({ argv: ['ip', '-6', 'route', 'add', 'default', 'via', 'fd00:50::f8'] })
  await inGateway({ argv: ['ip', 'address', 'add', 'fd00:42::5/64', 'dev', 'eth0', 'nodad'] })
  await inWorld({ argv: ['ip', 'address', 'add', 'fd00:42::1/64', 'dev', 'eth0', 'nodad'] })
  await inGateway({ argv: ['ip', '-6', 'route', 'add', 'default', 'via', 'fd00:42::1'] })
  // Even where somebody lets the kernel forward it.
  await inGateway({ argv: ['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1'] })
  // The provider would take it.
  const peer = wireguardPublicKey(provider.gatewayKey)
  await inWorld({ argv: ['wg', 'set', provider.dev, 'peer', peer, 'allowed-ips', '10.9.0.2/32,::/0'] })
  for (const dev of ['eth0', provider.dev]) {
    const echo = ['-i', dev, '-p', 'ipv6-icmp', '--icmpv6-type', '128']
    await inWorld({ argv: ['ip6tables', '-t', 'raw', '-A', 'PREROUTING', ...echo] })
  }
  const ping = await inClient({ argv: ['bash', '-c', 'ping -n -c 2 -W 2 2001:db8::10 2>&1 || true'] })
  expect(ping).toContain(' 0 received')
  const counted = await inWorld({ argv: ['ip6tables', '-t', 'raw', '-L', 'PREROUTING', '-nvx'] })
  expect([...counted.matchAll(/^\s*(\d+) /gm)].map((match) => match[1])).toEqual(['0', '0'])
  await until('forwarding is off again', 30, async () =>
    (await inGateway({ argv: ['sysctl', '-n', 'net.ipv6.conf.all.forwarding'] })).trim() === '0' ? true : undefined,
  )
})

test('an endpoint may have an IPv6 address: what the tunnel travels in is not what it carries', async () => {
  failing()
  const at = (endpoint: string) => withIpv6(tunnelText(provider, endpoint, ['MTU = 1280']))
  const endpointIs = (endpoint: string) =>
    until(endpoint, 60, async () =>
      (await inGateway({ argv: ['wg', 'show', 'wg0', 'endpoints'] })).includes(endpoint) ? true : undefined,
    )
  await writeFile(tunnelFile, at('[fd00:42::1]:51820'))
  await endpointIs('[fd00:42::1]:51820')
  await until('the provider hears it there', 30, async () => {
    expect(await made.hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
    return (await inWorld({ argv: ['wg', 'show', provider.dev, 'endpoints'] })).includes('[fd00:42::5]:')
  })
  // Rules in other words than the kernel's would be changed without end.
  await made.ready()
  await writeFile(tunnelFile, at('198.51.100.20:51820'))
  await endpointIs('198.51.100.20:51820')
})

test('a full tunnel that loses every probe is not dead, and is once the traffic ends', async () => {
  failing()
  const before = downs()
  const drop = ['-p', 'tcp', '-m', 'multiport', '--dports', '80,81', '-j', 'DROP']
  const since = Date.now()
  const transfer = inClient({
    argv: [
      'timeout',
      '8',
      'bash',
      '-c',
      'exec 3<>/dev/tcp/203.0.113.10/90; echo 100000000000 >&3; cat <&3 >/dev/null || true',
    ],
    timeoutMs: 30_000,
  }).catch(() => '')
  await inWorld({ argv: ['iptables', '-t', 'raw', '-I', 'PREROUTING', '1', ...drop] })
  const down = agent.next('"tunnel down"')
  await transfer
  const ended = Date.now()
  expect(ended - since).toBeGreaterThan(7000)
  expect(downs()).toBe(before)
  const seen = (await down).at - ended / 1000
  console.log(`figures: ${JSON.stringify({ fault: 'full tunnel without probes, then silence', seen })}`)
  const up = agent.next('"tunnel up"')
  await inWorld({ argv: ['iptables', '-t', 'raw', '-D', 'PREROUTING', ...drop] })
  await up
})

test('three packets of ten lost in each direction, for half a minute: not dead', async () => {
  failing()
  const before = downs()
  const record = followClient(made.start(client, [process.execPath, '-e', clientProgram('203.0.113.10', 80)]))
  const lossy = (verb: string) => [
    'tc',
    'qdisc',
    verb,
    'dev',
    'eth0',
    'root',
    ...(verb === 'add' ? ['netem', 'loss', '30%'] : []),
  ]
  for (const run of [inGateway, inWorld]) await run({ argv: lossy('add') as [string, ...string[]] })
  await new Promise((resolve) => setTimeout(resolve, 30_000))
  const { body } = await ask('/metrics')
  for (const run of [inGateway, inWorld]) await run({ argv: lossy('del') as [string, ...string[]] })
  const heard = record.tries.filter((one) => one.heard !== undefined).length
  console.log(
    `figures: ${JSON.stringify({ fault: '30 % loss both ways, 30 s', downs: downs() - before, tries: record.tries.length, heard })}`,
  )
  // The probes did meet with loss.
  expect(
    Number(/^vpn_gateway_tunnel_probes_total\{target="203\.0\.113\.10:80",result="failed"\} (\d+)/m.exec(body)?.[1]),
  ).toBeGreaterThan(5)
  expect(downs()).toBe(before)
  // A connection that has one second, less than SYN's first repeat, needs three packets: 0.7³, a third of the tries.
  // Fewer than a tenth is no bad luck any more.
  expect(heard).toBeGreaterThan(record.tries.length / 10)
})

test('a full table of connections: known flows, checks by routers and kubelet go on, the tunnel stays up', async () => {
  failing()
  const before = downs()
  const flow = openFlow((argv) => made.start(client, argv))
  await flow.goesOn()
  // As a router does, which the client's namespace has an address of, too.
  const health = '169.254.50.248'
  const asRouter = (verb: string) =>
    inClient({ argv: ['ip', 'route', verb, health, 'dev', 'net1', 'src', '192.168.50.241'] })
  await asRouter('add')
  // One for all namespaces; 0 would be no limit.
  const limit = '/proc/sys/net/netfilter/nf_conntrack_max'
  const room = await readFile(limit, 'utf8')
  const full = agent.next('find no room')
  await writeFile(limit, '1')
  try {
    const { at } = await full
    expect(await made.hears(client, '203.0.113.10', 80)).toBe('silence')
    // Twice as long as a tunnel may be silent at most.
    await until('ten seconds of it', 60, async () => (Date.now() / 1000 > at + 10 ? true : undefined))
    const asked = await ask('/v1/tunnel', world, 'GET', '10.42.0.5')
    expect(JSON.parse(asked.body)).toMatchObject({ state: 'up' })
    expect(await inClient({ argv: ['ping', '-n', '-c', '3', '-i', '0.2', '-W', '5', health] })).toContain(' 3 received')
    expect((await ask('/readyz', client, 'GET', health)).status).toBe(200)
    await flow.goesOn()
    expect(downs()).toBe(before)
  } finally {
    await writeFile(limit, room)
    await asRouter('del')
    flow.child.kill('SIGKILL')
  }
  await until('new connections work', 30, async () =>
    (await made.hears(client, '203.0.113.10', 80)) === 'caller 10.9.0.2' ? true : undefined,
  )
})

test('what is not tracked: packets of the tunnel, and nothing that is forwarded', async () => {
  failing()
  const flows = await inGateway({ argv: ['bash', '-c', 'conntrack -L 2>/dev/null'] })
  expect(flows).toContain('dst=203.0.113.10')
  expect(flows).not.toContain('dport=51820')
  // To a health address that this gateway does not have; it would enter the tunnel with the client's own address.
  const absent = '169.254.50.249'
  const dropped = async () =>
    Number(/^\s*(\d+) .*UNTRACKED/m.exec(await inGateway({ argv: ['iptables', '-L', 'VG-CLIENTS', '-nvx'] }))?.[1])
  const before = await dropped()
  await inClient({
    argv: ['ip', 'route', 'add', absent, 'via', '192.168.50.248', 'dev', 'net1', 'src', '192.168.50.10'],
  })
  await inClient({ argv: ['bash', '-c', `ping -n -c 3 -i 0.2 -W 1 ${absent} || true`] })
  expect(await dropped()).toBe(before + 3)
  await inClient({ argv: ['ip', 'route', 'del', absent] })
})

test('an inner MTU of 1420, which a changed file brings: a large transfer works too', async () => {
  failing()
  await writeFile(tunnelFile, tunnelText(provider, '198.51.100.20:51820', ['MTU = 1420']))
  await until('the MTU is there', 60, async () =>
    (await inGateway({ argv: ['ip', 'link', 'show', 'wg0'] })).includes('mtu 1420') ? true : undefined,
  )
  const bytes = 4 * 1024 * 1024
  expect((await fetchBytes(bytes, 60)).trim()).toBe(String(bytes))
})

test('probes by ICMP and HTTP: any one is enough, all must fail; by HTTP the exit address is learnt', async () => {
  agent.child.kill('SIGKILL')
  await agent.ended
  await rm(join(directory, 'system.yaml'))
  const asked = "tunnel:\n  exitAddressUrl: 'http://203.0.113.10:82/address'\n"
  // A busy machine takes its time for a process or for HTTP; which of the two answers is what counts here.
  const byBoth = targets("['icmp:203.0.113.10', 'http://203.0.113.10:82/up'], timeout: 4, window: 8")
  await writeFile(join(directory, 'system.yaml'), byBoth.replace('tunnel:\n', asked))
  const answer = `require('http')
    .createServer((q, s) => (q.url === '/up' ? s.writeHead(204).end() : s.end(q.socket.remoteAddress)))
    .listen(82, '203.0.113.10', () => console.log('listening'))`
  const web = made.start(world, [process.execPath, '-e', answer])
  await new Promise((resolve) => web.stdout?.once('data', resolve))
  agent = await made.startReady({ tunnel: tunnelFile })
  const { body } = await ask('/metrics')
  for (const target of ['icmp:203.0.113.10', 'http://203.0.113.10:82/up']) {
    await until(`an answer of ${target}`, 60, async () =>
      (await made.metric('vpn_gateway_tunnel_probes_total', `target="${target}",result="answered"`)) > 0
        ? true
        : undefined,
    )
  }
  expect(body).toContain('vpn_gateway_tunnel_probe_duration_seconds_bucket')
  await until('the exit address', 60, async () =>
    (await ask('/v1/tunnel')).body.includes('"exitAddress":"10.9.0.2"') ? true : undefined,
  )
  const drop = (protocol: string) => ['PREROUTING', '-i', 'provider', '-p', protocol, '-j', 'DROP']
  await inWorld({ argv: ['iptables', '-t', 'raw', '-I', ...drop('icmp')] })
  const answered = await made.metric('vpn_gateway_tunnel_probes_total', 'result="answered"')
  await until('answers go on', 30, async () =>
    (await made.metric('vpn_gateway_tunnel_probes_total', 'result="answered"')) > answered + 8 ? true : undefined,
  )
  expect(await state()).toBe('up')
  const down = agent.next('"tunnel down"')
  await inWorld({ argv: ['iptables', '-t', 'raw', '-I', ...drop('tcp')] })
  await down
  const up = agent.next('"tunnel up"')
  await inWorld({ argv: ['iptables', '-t', 'raw', '-D', ...drop('icmp')] })
  await up
})
