import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wireguardPublicKey } from '@vpn-gateway/kernel'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTunnelFiles } from '../src/tunnel-source.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tunnels-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const key = (letter: string) => `${letter.repeat(42)}A=`
const text = (letter: string, host: string) =>
  `[Interface]\nPrivateKey = ${key(letter)}\nAddress = 10.9.0.2/32\n[Peer]\nPublicKey = ${key('p')}\nAllowedIPs = 0.0.0.0/0\nEndpoint = ${host}:51820\n`
const write = (name: string, content: string) => writeFile(join(directory, name), content)
const open = (held?: Parameters<typeof openTunnelFiles>[1]) => openTunnelFiles(join(directory, 'gateway-0.conf'), held)
const device = (letter: string, endpoint: string) => ({
  name: 'wg0',
  listenPort: 1,
  publicKey: wireguardPublicKey(key(letter)),
  peers: [{ publicKey: key('p'), endpoint, allowedIps: [], latestHandshake: 0, received: 0, sent: 0 }],
})

test('one file alone, and whatever is beside it is not of this gateway', async () => {
  await write('gateway-0.conf', text('a', '192.0.2.1'))
  for (const other of ['gateway-1.conf', 'gateway-01.conf', 'gateway-0.x.conf', 'gateway-0.conf.1', 'gateway-0.1']) {
    await write(other, 'nothing')
  }
  expect((await open()).files()).toEqual(['gateway-0.conf'])
})

test('several take turns by number, and begin again', async () => {
  await write('gateway-0.conf', text('a', '192.0.2.1'))
  await write('gateway-0.10.conf', text('c', '192.0.2.3'))
  await write('gateway-0.2.conf', text('b', '192.0.2.2'))
  const source = await open()
  expect(source.files()).toEqual(['gateway-0.conf', 'gateway-0.2.conf', 'gateway-0.10.conf'])
  const turns = [0, 1, 2, 3].map(() => {
    const host = source.current().peers[0]?.endpoint?.host
    source.advance()
    return host
  })
  expect(turns).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.1'])
})

test('any that is wrong at the start is refused by name', async () => {
  await write('gateway-0.conf', text('a', '192.0.2.1'))
  await write('gateway-0.1.conf', 'PostUp = true')
  await expect(open()).rejects.toThrow(/gateway-0\.1\.conf:1/)
})

test('one that goes wrong stays what it was; one that is taken away while in use gives way to the first', async () => {
  await write('gateway-0.conf', text('a', '192.0.2.1'))
  await write('gateway-0.1.conf', text('b', '192.0.2.2'))
  const source = await open()
  source.advance()
  await write('gateway-0.1.conf', 'broken')
  expect((await source.reread()).peers[0]?.endpoint?.host).toBe('192.0.2.2')
  expect(source.problems()).toContainEqual(expect.stringContaining('gateway-0.1.conf:1'))
  await rm(join(directory, 'gateway-0.1.conf'))
  expect((await source.reread()).peers[0]?.endpoint?.host).toBe('192.0.2.1')
  expect(source.file()).toBe('gateway-0.conf')
  expect(source.problems()).toEqual([])
})

test('files that go wrong later are told once, and once when they are right again', async () => {
  const said: string[] = []
  const say = (fields: object, message: string) => void said.push(`${message} ${JSON.stringify(fields)}`)
  await write('gateway-0.conf', text('a', '192.0.2.1'))
  const source = await openTunnelFiles(join(directory, 'gateway-0.conf'), undefined, { info: say, warn: say })
  await source.reread()
  expect(said).toEqual([])
  await write('gateway-0.conf', text('a', '192.0.2.1').replace('51820', '99999'))
  for (let times = 0; times < 2; times++) await source.reread()
  expect(said).toHaveLength(1)
  expect(said[0]).toMatch(/^tunnel files are wrong: going on with what they held before .*gateway-0\.conf:7: Endpoint/)
  await write('gateway-0.conf', text('a', '192.0.2.1'))
  await source.reread()
  expect(said.slice(1)).toEqual(['tunnel files are right again {}'])
})

test("an earlier process' tunnel is gone on with, told by its keys and endpoint", async () => {
  await write('gateway-0.conf', text('a', '192.0.2.1'))
  await write('gateway-0.1.conf', text('b', '192.0.2.2'))
  await write('gateway-0.2.conf', text('b', '192.0.2.3'))
  expect((await open(device('b', '192.0.2.3:51820'))).file()).toBe('gateway-0.2.conf')
  expect((await open(device('b', '198.51.100.9:51820'))).file()).toBe('gateway-0.1.conf')
  expect((await open(device('z', '192.0.2.3:51820'))).file()).toBe('gateway-0.conf')
})

test('of files with the same keys the one that may have made the endpoint is gone on with', async () => {
  await write('gateway-0.conf', text('a', '192.0.2.2'))
  await write('gateway-0.1.conf', text('a', 'vpn.example'))
  await write('gateway-0.2.conf', text('a', '192.0.2.20'))
  // Not the first, whose endpoint is only the beginning of this one.
  expect((await open(device('a', '192.0.2.20:51820'))).file()).toBe('gateway-0.2.conf')
  expect((await open(device('a', '192.0.2.2:51820'))).file()).toBe('gateway-0.conf')
  // An address that no file names is that of a host name.
  expect((await open(device('a', '198.51.100.9:51820'))).file()).toBe('gateway-0.1.conf')
  await rm(join(directory, 'gateway-0.1.conf'))
  expect((await open(device('a', '198.51.100.9:51820'))).file()).toBe('gateway-0.conf')
})
