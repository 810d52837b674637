/** How long /livez of an agent takes while others do what they should not: idle, slow and oversized. */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './http-server.ts'

/** Milliseconds. */
interface Latency {
  median: number
  p95: number
  most: number
}

export interface HealthUnderLoad {
  alone: Latency
  loaded: Latency
  /** Connections that were open and silent when the last answer came. */
  idle: number
}

const questions = 200

/** Starts an agent of its own and asks it, first alone and then beside the others. */
export async function healthUnderLoad(): Promise<HealthUnderLoad> {
  const directory = await mkdtemp(join(tmpdir(), 'health-'))
  const port = await freePort()
  const child = await startAgent(port, directory)
  let crowd: Crowd | undefined
  try {
    // The first answers are those of code that was never run before.
    await askOften(port)
    const alone = await askOften(port)
    crowd = await gatherCrowd(port)
    const loaded = await askOften(port)
    return { alone, loaded, idle: await crowd.idle() }
  } finally {
    crowd?.leave()
    child.kill('SIGKILL')
    await rm(directory, { recursive: true, force: true })
  }
}

async function startAgent(port: number, runDir: string): Promise<ChildProcess> {
  const program = new URL('agent-under-test.ts', import.meta.url).pathname
  const args = ['--config', 'x', '--name', 'node-1', '--listen', `127.0.0.1:${port}`, '--run-dir', runDir]
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (said.includes('"msg":"started"')) resolve()
    })
    child.once('exit', () => reject(new Error(`the agent ended: ${said}`)))
  })
  return child
}

interface Crowd {
  /** Silent connections that are open now. */
  idle(): Promise<number>
  leave(): void
}

/** Has a process of its own, so that what it sends delays the server and not who asks; resolves when it is complete. */
async function gatherCrowd(port: number): Promise<Crowd> {
  const crowd = fork(new URL('health-crowd.ts', import.meta.url), [String(port)], { execArgv: [] })
  await once(crowd, 'message')
  return {
    async idle() {
      const answer = once(crowd, 'message')
      crowd.send('idle?')
      return Number((await answer)[0])
    },
    leave: () => void crowd.kill('SIGKILL'),
  }
}

async function askOften(port: number): Promise<Latency> {
  const times: number[] = []
  for (let index = 0; index < questions; index += 1) times.push(await ask(port))
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { median: at(0.5), p95: at(0.95), most: at(1) }
}

/** By a new connection each time, as the kubelet asks. */
function ask(port: number): Promise<number> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: '/livez', agent: false }, (response) => {
      response.resume()
      response.once('end', () =>
        response.statusCode === 200
          ? resolve(performance.now() - began)
          : reject(new Error(`/livez answers ${response.statusCode}`)),
      )
    })
    asked.setTimeout(30_000, () => asked.destroy(new Error('/livez does not answer within 30 s')))
    asked.once('error', reject)
    asked.end()
  })
}
