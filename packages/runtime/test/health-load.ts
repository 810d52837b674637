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
  /**
   * Milliseconds that an answer came later, at most, than that of an agent which was asked at the same moment and which nobody
   * disturbs: the worst of all answers, in the best of some rounds, for what else this machine does delays one or the other.
   */
  delay: number
}

const questions = 200
const rounds = 3

/** Starts two agents of its own and asks them, first alone and then one of them beside the others. */
export async function healthUnderLoad(): Promise<HealthUnderLoad> {
  const directory = await mkdtemp(join(tmpdir(), 'health-'))
  const children: ChildProcess[] = []
  const start = async (name: string) => {
    const port = await freePort()
    children.push(await startAgent(port, join(directory, name)))
    return port
  }
  let crowd: Crowd | undefined
  try {
    const ports = [await start('disturbed'), await start('left-alone')] as const
    // The first answers are those of code that was never run before.
    await askOften(ports)
    const { latency: alone } = await askOften(ports)
    crowd = await gatherCrowd(ports[0])
    const loaded: Asked[] = []
    for (let round = 0; round < rounds; round += 1) loaded.push(await askOften(ports))
    const best = loaded.reduce((least, each) => (each.delay < least.delay ? each : least))
    return { alone, loaded: best.latency, delay: best.delay, idle: await crowd.idle() }
  } finally {
    crowd?.leave()
    for (const child of children) child.kill('SIGKILL')
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

interface Asked {
  latency: Latency
  delay: number
}

/** Asks both at once, over and over; the latency is the first one's. */
async function askOften([disturbed, alone]: readonly [number, number]): Promise<Asked> {
  const times: number[] = []
  let delay = 0
  for (let index = 0; index < questions; index += 1) {
    const [time, other] = await Promise.all([ask(disturbed), ask(alone)])
    times.push(time)
    delay = Math.max(delay, time - other)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { latency: { median: at(0.5), p95: at(0.95), most: at(1) }, delay }
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
