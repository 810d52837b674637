/** The providers' files, checked before they become a Secret. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { requireTunnels } from '../src/tunnels.ts'

const key = Buffer.alloc(32, 7).toString('base64')
const right = `[Interface]\nPrivateKey = ${key}\nAddress = 10.2.0.2/32\n[Peer]\nPublicKey = ${key}\nEndpoint = 198.51.100.1:51820\nAllowedIPs = 0.0.0.0/0\n`
let directory = ''

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tunnels-'))
  await writeFile(join(directory, 'gateway-0.conf'), right)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const problems = (gateways: number): Promise<readonly string[]> =>
  requireTunnels(directory, gateways).then(
    () => [],
    (error: { problems: readonly string[] }) => error.problems,
  )

test('one right file for each gateway', async () => {
  expect(await problems(1)).toEqual([])
})

test('a gateway without a file, a file without a gateway, and a file that is wrong are named; keys are not', async () => {
  await writeFile(join(directory, 'gateway-1.conf'), right.replace('10.2.0.2/32', 'nowhere'))
  await writeFile(join(directory, 'gateway-7.conf'), right)
  const found = await problems(3)
  expect(found).toEqual([
    expect.stringContaining('gateway-1.conf:3: Address'),
    expect.stringContaining('gateway-1.conf:1: [Interface]'),
    `--tunnels: gateway-2.conf: missing in ${directory}: expected one for each of 3 gateways`,
    '--tunnels: gateway-7.conf: no such gateway: there are 3 (--gateways N says otherwise)',
  ])
  expect(found.join()).not.toContain(key)
})

test('the further files of a gateway are read too', async () => {
  await writeFile(join(directory, 'gateway-0.2.conf'), right.replace('0.0.0.0/0', '0.0.0.0/33'))
  expect(await problems(1)).toContainEqual(expect.stringContaining('gateway-0.2.conf:7: AllowedIPs'))
})
