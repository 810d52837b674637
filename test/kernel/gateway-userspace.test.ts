/**
 * Where the kernel has no WireGuard: the module is unloaded and modprobe(8) is told not to load it, as on a node that was
 * built without. Both ends are wireguard-go then; the gateway's is started by the agent itself.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createRunner, wireguardPublicKey } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import {
  createGatewayWorld,
  exampleSystem,
  key,
  tunnelText,
  until,
  type Agent,
  type Provider,
} from './gateway-world.ts'

const forbid = '/etc/modprobe.d/vpn-gateway-no-wireguard.conf'
const host = createRunner()
const provider: Provider = {
  dev: 'provider',
  port: 51820,
  privateKey: key('provider'),
  gatewayKey: key('gateway'),
  gatewayAddress: '10.9.0.2',
}
const made = await createGatewayWorld('gu', exampleSystem)
const { client, world, inGateway, inWorld, directory, ask, ready, metric, hears } = made
const tunnelFile = join(directory, 'gateway-0.conf')
const pidFile = join(directory, 'run/wireguard-go.pid')
let agent: Agent
const failing = () => onTestFailed(() => console.log([...agent.log.slice(-60), ...agent.errors].join('\n')))
const status = async () => JSON.parse((await ask('/v1/tunnel')).body) as { state: string; implementation: string }
const daemon = async () => Number((await readFile(pidFile, 'utf8')).split(' ')[0])

beforeAll(async () => {
  await writeFile(forbid, 'install wireguard /bin/false\n')
  await host.run({ argv: ['modprobe', '-r', 'wireguard'] })
  await host.run({ argv: ['modprobe', 'tun'] })
  await made.openWorld(['198.51.100.20', '203.0.113.10'], [['198.51.100.20', 51820]])
  const peer = made.start(world, ['env', 'LOG_LEVEL=verbose', 'wireguard-go', '-f', provider.dev])
  await new Promise<void>((resolve, reject) => {
    peer.stdout?.on('data', (text: Buffer) => String(text).includes('UAPI listener started') && resolve())
    peer.once('exit', (code) => reject(new Error(`wireguard-go ended with ${code}`)))
  })
  const lines = [
    `[Interface]\nPrivateKey = ${provider.privateKey}\nListenPort = 51820`,
    `[Peer]\nPublicKey = ${wireguardPublicKey(provider.gatewayKey)}\nAllowedIPs = 10.9.0.2/32\n`,
  ]
  await writeFile(join(directory, 'peer.conf'), lines.join('\n'), { mode: 0o600 })
  await inWorld({ argv: ['wg', 'setconf', provider.dev, join(directory, 'peer.conf')] })
  await inWorld({ argv: ['ip', 'link', 'set', provider.dev, 'up'] })
  await inWorld({ argv: ['ip', 'route', 'add', '10.9.0.2/32', 'dev', provider.dev] })
  await made.listen([['203.0.113.10', 80]])
  await writeFile(tunnelFile, tunnelText(provider, '198.51.100.20:51820'))
  agent = await made.startReady({ tunnel: tunnelFile })
})

afterAll(async () => {
  // The daemon outlives a killed agent: told to end, the agent takes it along.
  agent.child.kill('SIGTERM')
  await agent.ended
  await made.close()
  await rm(forbid)
  await host.run({ argv: ['modprobe', 'wireguard'] })
})

test('the userspace implementation takes over by itself, and the agent says so', async () => {
  failing()
  await expect(inWorld({ argv: ['ip', 'link', 'add', 'trial', 'type', 'wireguard'] })).rejects.toThrow(
    /Unknown device type|not supported/,
  )
  expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
  expect(await status()).toMatchObject({ state: 'up', implementation: 'userspace' })
  expect(await metric('vpn_gateway_tunnel_info', 'implementation="userspace"')).toBe(1)
  expect(await metric('wireguard_received_bytes_total')).toBeGreaterThan(0)
  expect(await inGateway({ argv: ['ip', '-d', 'link', 'show', 'wg0'] })).toContain('tun')
})

test('wireguard-go killed: started again and configured again', async () => {
  failing()
  const before = await daemon()
  process.kill(before, 'SIGKILL')
  await until('another daemon', 30, async () => ((await daemon()) === before ? undefined : true))
  await until('the tunnel is back', 30, async () =>
    (await hears(client, '203.0.113.10', 80)) === 'caller 10.9.0.2' ? true : undefined,
  )
  await ready()
  expect(await status()).toMatchObject({ state: 'up', implementation: 'userspace' })
})

test('the agent killed and started again: the daemon goes on and is taken over as it is', async () => {
  failing()
  const before = await daemon()
  agent.child.kill('SIGKILL')
  await agent.ended
  expect(await hears(client, '203.0.113.10', 80)).toBe('caller 10.9.0.2')
  agent = await made.startReady({ tunnel: tunnelFile })
  expect(await daemon()).toBe(before)
  expect(await metric('reconcile_steps_total')).toBe(0)
})

test('nothing left beside the tunnel', async () => {
  expect(await made.leaked()).toBe(0)
})
