/**
 * `npm run lab`: what it ends with, and what it leaves. On the kernel of the machine that the tests run in (`--native`),
 * since a virtual machine inside another one would be emulated twice.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { awaitCondition } from '@vpn-gateway/lab'
import { afterAll, beforeAll, expect, test } from 'vitest'

const program = join(import.meta.dirname, '../lab/src/main.ts')
let directory = ''
/** What ran before: other tests' affair. */
let before: string[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-lab-'))
  before = await left()
})
afterAll(() => rm(directory, { recursive: true }))

/** A `lab` command; its state is kept in a cache of the test's own. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, VPN_GATEWAY_CACHE: join(directory, 'cache') },
  })
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].on('data', (text: Buffer) => void (said[stream] += text.toString()))
  }
  return { child, said, ended: once(child, 'close').then(([code]) => code as number) }
}

async function lab(...args: string[]) {
  const { said, ended } = start(...args)
  return { code: await ended, ...said }
}

async function script(text: string): Promise<string> {
  const path = join(directory, 'script.sh')
  await writeFile(path, text)
  return path
}

/** Command lines of all processes that have one of the lab's namespaces, programs or scripts in it, and directories kept. */
async function left(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  const kept = await readdir(join(directory, 'cache/native')).catch(() => [])
  const found = [...lines.filter((line) => /-agent|lab-answer|script-\d|sleep\0infinity/.test(line)), ...kept]
  return found.filter((each) => !before.includes(each))
}

test("run: the whole system, a script as root with every host in reach, the script's exit code, and nothing left", async () => {
  const path = await script(`set -e
[ "$(id -u)" = 0 ]
ip netns list | awk '{ print $1 }' | sort | tr '\\n' ' '
ip netns exec client-0 ip route get 203.0.113.10
ip netns exec client-0 bash -c 'exec 3<>/dev/tcp/203.0.113.10/9000; echo hello >&3; read -r caller <&3; echo "seen as $caller"'
echo "given $1"
exit 7
`)
  const { code, stdout, stderr } = await lab('run', '--native', '--single', path, 'word')
  expect(code === 7 ? '' : stderr).toBe('')
  expect(code).toBe(7)
  expect(stdout).toMatch(/\bclient-0 client-1 cluster gateway-0 internet node-1 node-2 provider-0\b/)
  expect(stdout).toContain('via 192.168.50.248 dev net1')
  expect(stdout).toMatch(/seen as .*203\.0\.113\.21/)
  expect(stdout).toContain('given word')
  expect(await left()).toEqual([])
})

test('run, interrupted: the script ends, and nothing is left', async () => {
  const { child, said, ended } = start('run', '--native', '--no-lab', await script('echo going; sleep 1000'))
  await awaitCondition('the script to go', () => said.stdout.includes('going') || undefined, { timeoutMs: 60_000 })
  child.kill('SIGINT')
  expect(await ended).toBe(130)
  await awaitCondition('nothing to be left', async () => ((await left()).length === 0 ? true : undefined), {
    timeoutMs: 10_000,
  })
})

test('up, exec and down: exit codes of commands pass through, mistakes are one line and 2, nothing is left', async () => {
  expect(await lab('exec', 'client-0', '--', 'true')).toMatchObject({
    code: 2,
    stderr: 'lab exec: no lab is up; start one with npm run lab -- up\n',
  })
  expect(await lab('run', '--native', '/none.sh')).toMatchObject({
    code: 2,
    stderr: 'lab run: there is no script /none.sh\n',
  })
  expect(await lab('up', '--native', '--no-lab')).toMatchObject({ code: 0 })
  expect(await lab('exec', 'vm', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3')).toEqual({
    code: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  })
  const { code, stderr } = await lab('exec', 'nobody', '--', 'true')
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/^lab exec: no host nobody; .*\n$/) })
  expect(await left()).not.toEqual([])
  expect(await lab('down')).toMatchObject({ code: 0 })
  expect(await left()).toEqual([])
})
