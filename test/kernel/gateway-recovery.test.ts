/**
 * Faults of a tunnel and how the real gateway-agent heals them, against real WireGuard peers and a real name server. The
 * tests are one story, in order; each prints what it measured: a fault begins, is seen (the agent calls the tunnel down),
 * is healed (it calls it up), and how long a client's new connections failed. docs/gateway-faults.md has the figures.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { clientProgram, followClient, type ClientRecord } from './client-record.ts'
import {
  createGatewayWorld,
  exampleSystem,
  key,
  tunnelText,
  until,
  type Agent,
  type Provider,
} from './gateway-world.ts'
import { createSecretMount } from './secret-mount.ts'

// The keys are not clamped, like those of some providers: the kernel, which clamps them, must not see another key each time.
const a: Provider = {
  dev: 'provider-a',
  port: 51820,
  privateKey: key('provider a'),
  gatewayKey: key('gateway at a'),
  gatewayAddress: '10.9.0.2',
}
const b: Provider = {
  dev: 'provider-b',
  port: 51821,
  privateKey: key('provider b'),
  gatewayKey: key('gateway at b'),
  gatewayAddress: '10.9.1.2',
}
const system = exampleSystem.replace("['203.0.113.10:80']", "['203.0.113.10:80', '203.0.113.10:81']")
const made = await createGatewayWorld('gr', system)
const { client, world, inGateway, inWorld, directory, ask, metric } = made
const secret = await createSecretMount(join(directory, 'tunnels'))
const hosts = join(directory, 'hosts')

/** By name: the name server in the world says where it is. */
const fileA = (lines: readonly string[] = []) => tunnelText(a, 'vpn.example:51820', lines)
const fileB = tunnelText(b, '198.51.100.30:51821')

let agent: Agent
let record: ClientRecord

interface Figures {
  fault: string
  seen?: number
  healed?: number
  client: number
}
const figures: Figures[] = []

/** Makes a fault, waits until it was seen and healed, and notes how long each took. */
async function measure(fault: string, make: () => Promise<unknown>): Promise<Required<Figures>> {
  const down = agent.next('"tunnel down"')
  const up = down.then(() => agent.next('"tunnel up"'))
  await make()
  const since = Date.now() / 1000
  const seen = (await down).at - since
  const healed = (await up).at - since
  await record.hears('caller')
  await record.hears('caller')
  const one = { fault, seen, healed, client: record.outage(since) }
  figures.push(one)
  return one
}

const block = (...rule: string[]) => inWorld({ argv: ['iptables', '-t', 'raw', '-I', 'PREROUTING', '1', ...rule] })
const unblock = (...rule: string[]) => inWorld({ argv: ['iptables', '-t', 'raw', '-D', 'PREROUTING', ...rule] })
const silence = (address: string) => ['-d', address, '-p', 'udp', '-j', 'DROP']
const tunnelStatus = async () =>
  JSON.parse((await ask('/v1/tunnel')).body) as {
    file: string
    files: string[]
    fileProblems: string[]
    implementation: string
    state: string
  }
const handshake = async () => (await inGateway({ argv: ['wg', 'show', 'wg0', 'latest-handshakes'] })).trim()

beforeAll(async () => {
  await made.openWorld(
    ['198.51.100.20', '198.51.100.21', '198.51.100.30', '203.0.113.10'],
    [
      ['198.51.100.20', 51820],
      ['198.51.100.21', 51820],
      ['198.51.100.30', 51821],
    ],
  )
  await made.openProvider(a)
  await made.openProvider(b)
  await made.listen([
    ['203.0.113.10', 80],
    ['203.0.113.10', 81],
  ])
  await made.resolveBy('10.42.0.1')
  await writeFile(hosts, '198.51.100.20 vpn.example\n')
  const server = [
    'dnsmasq',
    '--keep-in-foreground',
    '--no-resolv',
    '--no-hosts',
    `--addn-hosts=${hosts}`,
    '--user=root',
  ]
  const dns = made.start(world, [
    ...server,
    '--listen-address=10.42.0.1',
    '--bind-interfaces',
    `--pid-file=${directory}/dns.pid`,
  ])
  const said: string[] = []
  dns.stderr?.on('data', (text: Buffer) => said.push(String(text)))
  await until('the name server answers', 20, async () => {
    const found = await inGateway({ argv: ['getent', 'ahostsv4', 'vpn.example'] })
    return found.includes('198.51.100.20') ? true : undefined
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${said.join('')}`)
  })
  // A slow machine may need longer for its start than an endpoint has where there is another.
  await secret.write({ 'gateway-0.conf': fileA() })
  agent = await made.startReady({ tunnel: secret.path('gateway-0.conf') })
  record = followClient(made.start(client, [process.execPath, '-e', clientProgram('203.0.113.10', 80)]))
  await record.hears('caller 10.9.0.2')
  await secret.write({ 'gateway-0.conf': fileA(), 'gateway-0.1.conf': fileB })
}, 300_000)

afterAll(async () => {
  console.log(figures.map((one) => `figures: ${JSON.stringify(one)}`).join('\n'))
  await made.close()
})

const failing = () => onTestFailed(() => console.log(agent.log.slice(-60).join('\n')))

test("the provider's address changed in DNS: asked again, found, gone on with", async () => {
  failing()
  await measure('address changed in DNS', async () => {
    await writeFile(hosts, '198.51.100.21 vpn.example\n')
    await inWorld({ argv: ['bash', '-c', `kill -HUP "$(<${directory}/dns.pid)"`] })
    await block(...silence('198.51.100.20'))
  })
  expect(await inGateway({ argv: ['wg', 'show', 'wg0', 'endpoints'] })).toContain('198.51.100.21:51820')
  expect(await tunnelStatus()).toMatchObject({ state: 'up', file: 'gateway-0.conf', implementation: 'kernel' })
  expect(await metric('vpn_gateway_tunnel_rotations_total')).toBe(0)
})

test('the provider forgot its sessions: hands are shaken anew before WireGuard itself would', async () => {
  failing()
  const figure = await measure('provider restarted', async () => {
    await inWorld({ argv: ['ip', 'link', 'del', a.dev] })
    await made.openProvider(a)
  })
  expect(figure.healed).toBeLessThan(15)
  expect(await metric('vpn_gateway_tunnel_recoveries_total', 'handshake')).toBeGreaterThan(0)
  expect(await metric('vpn_gateway_tunnel_rotations_total')).toBe(0)
})

test('the secret changed: what did not change in it lives on', async () => {
  failing()
  // Within 5 s of a handshake WireGuard begins no other (REKEY_TIMEOUT): one that the change caused would come too late.
  await until('hands at rest', 30, async () => {
    const [, at] = (await handshake()).split('\t')
    return Date.now() / 1000 - Number(at) > 6 ? true : undefined
  })
  const port = await inGateway({ argv: ['wg', 'show', 'wg0', 'listen-port'] })
  const before = await handshake()
  const change = agent.next('wireguard sync wg0')
  const since = Date.now() / 1000
  await secret.write({ 'gateway-0.conf': fileA(['PersistentKeepalive = 21']), 'gateway-0.1.conf': fileB })
  // The directory told of it; the slow full pass would find it too.
  expect((await change).line).not.toContain('"reason":"interval"')
  await until('applied', 60, async () =>
    (await inGateway({ argv: ['wg', 'show', 'wg0', 'persistent-keepalive'] })).includes('21') ? true : undefined,
  )
  const applied = Date.now() / 1000 - since
  await record.hears('caller 10.9.0.2')
  expect(await handshake()).toBe(before)
  expect(await inGateway({ argv: ['wg', 'show', 'wg0', 'listen-port'] })).toBe(port)
  expect(record.outage(since)).toBe(0)
  figures.push({ fault: 'secret changed', healed: applied, client: record.outage(since) })
})

test('a file that is changed and wrong is told of, and what it held before goes on', async () => {
  failing()
  const told = agent.next('tunnel files are wrong')
  await secret.write({ 'gateway-0.conf': fileA(['PersistentKeepalive = 99999']), 'gateway-0.1.conf': fileB })
  await told
  expect(await tunnelStatus()).toMatchObject({
    state: 'up',
    fileProblems: [expect.stringMatching(/gateway-0\.conf:\d+: PersistentKeepalive: expected/)],
  })
  expect(await metric('vpn_gateway_tunnel_file_problems')).toBe(1)
  const right = agent.next('tunnel files are right again')
  await secret.write({ 'gateway-0.conf': fileA(['PersistentKeepalive = 21']), 'gateway-0.1.conf': fileB })
  await right
  expect(await tunnelStatus()).toMatchObject({ state: 'up', fileProblems: [] })
})

test("the provider's key changed: the new file is put to use as soon as it is there", async () => {
  failing()
  a.privateKey = key('provider a, second')
  const down = agent.next('"tunnel down"')
  await inWorld({ argv: ['ip', 'link', 'del', a.dev] })
  await made.openProvider(a)
  // Without another file to turn to, or that would have been used by now.
  await secret.write({ 'gateway-0.conf': tunnelText({ ...a, privateKey: key('provider a') }, 'vpn.example:51820') })
  await down
  const up = agent.next('"tunnel up"')
  await secret.write({ 'gateway-0.conf': fileA(), 'gateway-0.1.conf': fileB })
  const since = Date.now() / 1000
  const healed = (await up).at - since
  await record.hears('caller 10.9.0.2')
  figures.push({ fault: "provider's key changed, from the new file on", healed, client: record.outage(since) })
  expect(healed).toBeLessThan(15)
})

test('the endpoint is silent: the next file has its turn, and keeps it', async () => {
  failing()
  await measure('endpoint silent', () => block(...silence('198.51.100.21')))
  expect(record.tries.at(-1)?.heard).toBe('caller 10.9.1.2')
  expect(await tunnelStatus()).toMatchObject({
    file: 'gateway-0.1.conf',
    files: ['gateway-0.conf', 'gateway-0.1.conf'],
  })
  expect(await metric('vpn_gateway_tunnel_rotations_total', 'no-handshake')).toBe(1)
  expect(await metric('vpn_gateway_tunnel_info', 'gateway-0.1.conf')).toBe(1)
  await unblock(...silence('198.51.100.21'))
})

test('killed and started again: the file in use stays in use, no new handshake', async () => {
  failing()
  const before = await handshake()
  const since = Date.now() / 1000
  agent.child.kill('SIGKILL')
  await agent.ended
  agent = await made.startReady({ tunnel: secret.path('gateway-0.conf') })
  expect(await tunnelStatus()).toMatchObject({ file: 'gateway-0.1.conf' })
  expect(await handshake()).toBe(before)
  expect(await metric('reconcile_steps_total')).toBe(0)
  expect(record.outage(since)).toBe(0)
})

test('up without the internet behind it: given up for that reason', async () => {
  failing()
  await measure('no internet behind the tunnel', () => block('-i', b.dev, '-j', 'DROP'))
  expect(record.tries.at(-1)?.heard).toBe('caller 10.9.0.2')
  expect(await metric('vpn_gateway_tunnel_rotations_total', 'no-internet')).toBe(1)
  expect(await tunnelStatus()).toMatchObject({ file: 'gateway-0.conf' })
  await unblock('-i', b.dev, '-j', 'DROP')
})

test('in all of this nothing left beside the tunnels', async () => {
  expect(await made.leaked()).toBe(0)
  expect(agent.log.join('\n')).not.toContain(a.gatewayKey.slice(0, 12))
})
