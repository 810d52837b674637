import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  createForwardFile,
  forwardRecords,
  leasesHeld,
  readLeases,
  type ForwardDocument,
} from '../src/forward-record.ts'
import type { LeaseWish } from '../src/lease-server.ts'

const to = { address: '10.96.0.100', port: 6881 }
const wish: LeaseWish = { name: 'torrent', protocol: 'tcp', server: '10.2.0.1', internalPort: 6881, lifetime: 60 }
const inAMinute = Math.round(Date.now() / 1000) + 60

let directory = ''
let path = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forward-record-'))
  path = join(directory, 'forwards.json')
})
afterEach(() => rm(directory, { recursive: true }))

const document = (port?: number): ForwardDocument => ({
  gateway: 'gateway-0',
  forwards: forwardRecords(
    [
      { name: 'web', protocol: 'tcp', port: 45678, to },
      { name: 'torrent', protocol: 'tcp', to },
    ],
    [
      {
        ...wish,
        formerPorts: [39999],
        ...(port === undefined ? { problem: 'no answer' } : { externalPort: port, expiresAt: inAMinute }),
      },
    ],
  ),
})

test('what is fixed has its port, what is leased its lease, and a port only while it is held', () => {
  expect(document(40000).forwards).toEqual([
    { name: 'web', protocol: 'tcp', port: 45678, to },
    {
      name: 'torrent',
      protocol: 'tcp',
      port: 40000,
      to,
      lease: { protocol: 'nat-pmp', server: '10.2.0.1', internalPort: 6881, expiresAt: inAMinute },
    },
  ])
  expect(document().forwards[1]).toEqual({
    name: 'torrent',
    protocol: 'tcp',
    to,
    lease: { protocol: 'nat-pmp', server: '10.2.0.1', internalPort: 6881, problem: 'no answer' },
  })
})

describe('the file', () => {
  test('is there as a whole at each moment, follows the latest, and gives the lease back to the next process', async () => {
    let port = 40000
    const file = createForwardFile({ path, document: () => document(port), log: { warn: () => undefined } })
    await file.start(new AbortController().signal)
    for (let count = 0; count < 50; count += 1) {
      port += 1
      file.update()
      const text = await readFile(path, 'utf8').catch(() => '{}')
      expect(() => JSON.parse(text) as unknown).not.toThrow()
    }
    await expect.poll(async () => (await readLeases(path))(wish)?.externalPort, { timeout: 10_000 }).toBe(40050)
    await file.stop(AbortSignal.timeout(1000))
    expect((await readLeases(path))(wish)).toEqual({ externalPort: 40050, expiresAt: inAMinute })
    expect(await readdir(directory)).toEqual(['forwards.json'])
  })

  test('cannot be written: said once', async () => {
    const said: string[] = []
    const file = createForwardFile({
      path: join(directory, 'absent', 'forwards.json'),
      document: () => document(),
      log: { warn: (fields, message) => void said.push(`${message} ${JSON.stringify(fields)}`) },
    })
    await file.start(new AbortController().signal)
    await expect
      .poll(() => said, { timeout: 10_000 })
      .toEqual([expect.stringMatching(/^forwards not written .*ENOENT/)])
    file.update()
    await file.stop(AbortSignal.timeout(1000))
    expect(said).toHaveLength(1)
  })

  test.each<[string, string | undefined]>([
    ['absent', undefined],
    ['empty', ''],
    ['cut short', JSON.stringify(document(40000)).slice(0, 200)],
    ['something else', '[null, 1]'],
    ['null', 'null'],
    ['with forwards that are none', '{"forwards": [null, 1, {"name": "torrent", "protocol": "tcp"}]}'],
    ['of a lease that is over', JSON.stringify(document(40000)).replace(String(inAMinute), '1000')],
    ['of another server', JSON.stringify(document(40000)).replace('10.2.0.1', '10.3.0.1')],
    ['of another internal port', JSON.stringify(document(40000)).replace('"internalPort":6881', '"internalPort":1')],
    ['of a port that is none', JSON.stringify(document(40000)).replace('40000', '70000')],
  ])('%s: no lease is held', async (_name, text) => {
    if (text !== undefined) await writeFile(path, text)
    expect((await readLeases(path))(wish)).toBeUndefined()
  })
})

test('who starts has the ports that the file says are held, and wishes for the others', async () => {
  const other: LeaseWish = { ...wish, protocol: 'udp' }
  expect(await leasesHeld(path, [wish])).toEqual([{ ...wish, formerPorts: [] }])
  await writeFile(path, JSON.stringify(document(40000)))
  expect(await leasesHeld(path, [wish, other])).toEqual([
    { ...wish, formerPorts: [], externalPort: 40000, expiresAt: inAMinute },
    { ...other, formerPorts: [] },
  ])
})
