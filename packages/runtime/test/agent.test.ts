/** An agent as a process: exit codes, order of start and end, health over HTTP. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startingAnswer } from '../src/port.ts'

let directory: string
let program: string
const children: ChildProcess[] = []
let runs = 0

/** Bundled as the agents are: one module, and a third of the time to start. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'agent-'))
  program = join(directory, 'agent.mjs')
  const source = new URL('agent-under-test.ts', import.meta.url).pathname
  const bundle = await rolldown({ input: source, platform: 'node' })
  await bundle.write({ file: program, format: 'esm', codeSplitting: false, minify: true })
  await bundle.close()
})
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(directory, { recursive: true })
})

/** A run directory that nobody else has; it is not made yet. */
function newRunDir(): string {
  runs += 1
  return join(directory, `run-${runs}`)
}

function start(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [program, ...args], { env: { PATH: process.env['PATH'] ?? '', ...env } })
  children.push(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (output.stdout += String(chunk)))
  child.stderr.on('data', (chunk) => (output.stderr += String(chunk)))
  // 'close', not 'exit': what it said last may be on its way.
  const exited = once(child, 'close').then(([code]) => code as number | null)
  const told = () => [...output.stdout.matchAll(/^TOLD (.*)$/gm)].map((match) => match[1])
  /** Resolves once the agent has written this text. */
  const says = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => output.stdout.includes(text) && resolve()
      look()
      child.stdout.on('data', look)
      child.once('exit', () => reject(new Error(`ended without "${text}": ${output.stderr}`)))
    })
  return { child, output, exited, told, says }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Starts the agent and waits until it says that it has started. */
async function running(args: string[] = [], until = '"msg":"started"') {
  const port = await freePort()
  const agent = start([
    '--config',
    'x',
    '--name',
    'node-1',
    '--listen',
    `127.0.0.1:${port}`,
    '--run-dir',
    newRunDir(),
    ...args,
  ])
  await agent.says(until)
  return { ...agent, port, url: `http://127.0.0.1:${port}` }
}

// Some start several processes, on a machine that may be busy.
describe.concurrent('an agent', { timeout: 30_000 }, () => {
  test('a request that trickles in is cut off', async () => {
    const { port } = await running()
    const socket = connect(port, '127.0.0.1').on('error', () => undefined)
    socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n')
    const trickle = setInterval(() => socket.write('X-More: x\r\n'), 200)
    const answer = once(socket, 'data').then(([chunk]) => String(chunk))
    expect(await answer).toMatch(/^HTTP\/1.1 408 /)
    clearInterval(trickle)
    socket.destroy()
  })

  test('options that are missing, unknown or wrong are named at once, and nothing is started', async () => {
    const { exited, output } = start(['--nam', 'x', '--listen', 'nowhere'])
    expect(await exited).toBe(2)
    expect(output.stderr).toBe('node-agent: --nam: unknown option: expected --name?\n')
    const swallowed = start(['--config', '--name', 'x'])
    expect(await swallowed.exited).toBe(2)
    expect(swallowed.output.stderr).toBe('node-agent: --config: missing value\n')
    const second = start(['--listen', 'nowhere'], { VPN_GATEWAY_LOG_LEVEL: 'loud' })
    expect(await second.exited).toBe(2)
    expect(second.output.stderr.split('\n')).toEqual([
      'node-agent: --config: missing: expected FILE (or VPN_GATEWAY_CONFIG in the environment)',
      'node-agent: --name: missing: expected NAME (or VPN_GATEWAY_NAME in the environment)',
      'node-agent: --listen: "nowhere": expected HOST:PORT, as in 0.0.0.0:9801 or [::]:9801',
      'node-agent: VPN_GATEWAY_LOG_LEVEL: "loud": expected debug, info, warn or error',
      '',
    ])
    expect(second.output.stdout).toBe('')
  })

  test("what would be written into the daemons' files as something else is refused", async () => {
    const { exited, output } = start(['--config', 'x', '--run-dir', '/run/vpn gateway'], {
      VPN_GATEWAY_NAME: 'router-0\nvrrp_script evil {',
    })
    expect(await exited).toBe(2)
    expect(output.stderr.split('\n')).toEqual([
      'node-agent: VPN_GATEWAY_NAME: "router-0\\nvrrp_script evil {": expected the name of a pod or node: up to 253 letters, digits, dashes and dots',
      'node-agent: --run-dir: "/run/vpn gateway": expected a path that the daemons\' files can name: letters, digits and ./_-@:+,=%~',
      '',
    ])
  })

  test('--help teaches and ends with 0', async () => {
    const { exited, output } = start(['--help'])
    expect(await exited).toBe(0)
    expect(output.stdout).toContain('--config FILE')
    expect(output.stdout).toContain('Exit codes:')
  })

  test("a user's mistake is one line each, exit code 2, no stack trace", async () => {
    const runDir = newRunDir()
    const { exited, output, told } = start(['--config', 'x', '--name', 'n', '--run-dir', runDir, '--mode', 'mistake'])
    expect(await exited).toBe(2)
    expect(existsSync(runDir)).toBe(false)
    expect(output.stderr).toBe('node-agent: gatewayNetwork.vip: missing: expected text\nnode-agent: second: problem\n')
    expect(told()).toEqual([])
  })

  test('a port that is taken is named', async () => {
    const first = await running()
    const second = start([
      '--config',
      'x',
      '--name',
      'n',
      '--run-dir',
      newRunDir(),
      '--listen',
      `127.0.0.1:${first.port}`,
    ])
    expect(await second.exited).toBe(2)
    expect(second.output.stderr).toBe(
      `node-agent: --listen: 127.0.0.1:${first.port}: address already in use: expected a free port\n`,
    )
  })

  test('what is wrong with a file is told also where the port is taken', async () => {
    const { port } = await running()
    const second = start(['--config', 'x', '--name', 'n', '--listen', `127.0.0.1:${port}`, '--mode', 'mistake'])
    expect(await second.exited).toBe(2)
    expect(second.output.stderr).toContain('node-agent: gatewayNetwork.vip: missing: expected text\n')
  })

  test('health is answered before the agent is built, and all else after', async () => {
    const { child, url, says, told } = await running(['--mode', 'slow-build'], 'TOLD build')
    const ask = async (path: string) => {
      const answer = await fetch(`${url}${path}`)
      return [answer.status, await answer.json()]
    }
    expect(await ask('/livez')).toEqual([200, { state: 'alive', reasons: [] }])
    expect(await ask('/readyz')).toEqual([503, { state: 'unready', reasons: ['starting'] }])
    expect(await ask('/v1/status')).toEqual([503, { error: 'starting' }])
    expect(told()).toEqual(['build'])
    child.stdin.write('go')
    await says('"msg":"started"')
    expect(await ask('/livez')).toEqual([200, { state: 'alive', reasons: [] }])
    expect(await ask('/readyz')).toEqual([200, { state: 'ready', reasons: [] }])
  })

  test('a component that cannot start takes back those before it; exit code 1', async () => {
    const port = await freePort()
    const { exited, told, output } = start([
      '--config',
      'x',
      '--name',
      'n',
      '--run-dir',
      newRunDir(),
      '--mode',
      'broken',
      '--listen',
      `127.0.0.1:${port}`,
    ])
    expect(await exited).toBe(1)
    expect(told()).toEqual(['start first', 'stop first'])
    expect(output.stdout).toContain('"level":"fatal"')
    expect(output.stderr).toBe('')
  })

  test('told to end while it starts, it waits for what is starting, starts no more, and stops that', async () => {
    const { child, exited, url, told, says } = await running(['--mode', 'slow-start'], 'TOLD begin first')
    const answer = await fetch(`${url}/readyz`)
    expect([answer.status, await answer.json()]).toEqual([503, { state: 'unready', reasons: ['starting'] }])
    expect((await fetch(`${url}/livez`)).status).toBe(200)
    child.kill('SIGTERM')
    await says('TOLD drain')
    await fetch(`${url}/v1/release`, { method: 'PUT' })
    expect(await exited).toBe(0)
    expect(told()).toEqual(['begin first', 'drain', 'start first', 'stop first'])
  })

  test.each(['bad-drain', 'deaf-drain'])('%s does not keep components from being stopped', async (mode) => {
    const { child, exited, told, output } = await running(['--mode', mode])
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    expect(told().slice(-2)).toEqual(['stop second', 'stop first'])
    expect(output.stdout).toMatch(/"level":"error".*"msg":"draining/)
  })

  test('an error that nobody caught ends it at once with 1, and stops nothing', async () => {
    const { exited, url, told, output } = await running()
    await fetch(`${url}/v1/stray`, { method: 'PUT' })
    expect(await exited).toBe(1)
    expect(output.stdout).toMatch(/"level":"fatal".*nobody listens/)
    expect(told()).toEqual(['start first', 'start second'])
  })

  test('SIGTERM drains, then stops in reverse, then ends with 0', async () => {
    const { child, exited, told } = await running()
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    expect(told()).toEqual(['start first', 'start second', 'drain', 'stop second', 'stop first'])
  })

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('while it drains readiness says so, and a second %s ends it at once with %i', async (signal, code) => {
    const { child, exited, url, told, says } = await running(['--mode', 'slow'])
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    child.kill('SIGTERM')
    await says('TOLD drain')
    const answer = await fetch(`${url}/readyz`)
    expect([answer.status, await answer.json()]).toEqual([503, { state: 'draining', reasons: ['told to end'] }])
    expect((await fetch(`${url}/livez`)).status).toBe(200)
    child.kill(signal)
    expect(await exited).toBe(code)
    expect(told()).not.toContain('stop first')
  })

  test('health, status and metrics are served; errors keep their details to themselves', async () => {
    const { url } = await running()
    expect(await (await fetch(`${url}/v1/status`)).json()).toMatchObject({
      agent: 'node-agent',
      name: 'node-1',
      state: 'ready',
      extra: 1,
    })
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('vpn_gateway_build_info{agent="node-agent"')
    await fetch(`${url}/v1/unready`, { method: 'PUT' })
    const unready = await fetch(`${url}/readyz`)
    expect([unready.status, await unready.json()]).toEqual([503, { state: 'unready', reasons: ['told so'] }])
    const broken = await fetch(`${url}/v1/broken`)
    expect([broken.status, await broken.json()]).toEqual([500, { error: 'internal error, see the log' }])
    expect((await fetch(`${url}/nothing`)).status).toBe(404)
    expect(
      (
        await fetch(`${url}/v1/unready`, {
          method: 'PUT',
          body: 'x'.repeat(20_000),
          headers: { 'content-type': 'application/json' },
        })
      ).status,
    ).toBe(413)
  })
})

test('an agent that is still starting after two minutes is to be started anew', () => {
  expect(startingAnswer('/livez', 120_000).code).toBe(200)
  expect(startingAnswer('/livez', 120_001)).toEqual({
    code: 503,
    body: { state: 'stuck', reasons: ['still starting after 120 s'] },
  })
})

// By itself: it measures time.
test('1,000 idle connections, 200 of them with half a request, do not keep a health answer waiting', async () => {
  const { url, port } = await running()
  const sockets = Array.from({ length: 1000 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  for (const socket of sockets.slice(0, 200)) socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n')
  const times: number[] = []
  for (let index = 0; index < 21; index += 1) {
    const before = performance.now()
    expect((await fetch(`${url}/livez`)).status).toBe(200)
    times.push(performance.now() - before)
  }
  // The median: one answer may wait for this machine's other work.
  expect(times.sort((one, other) => one - other)[10]).toBeLessThan(100)
  for (const socket of sockets) socket.destroy()
})
