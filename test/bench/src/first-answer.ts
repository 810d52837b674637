/** How long an agent takes until somebody is told that it lives, seen from outside. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Lab } from '@vpn-gateway/lab'
import { startAnew } from './agent-process.ts'

export interface FirstAnswer {
  /** Milliseconds that Node itself took until it ran the agent's program. */
  node: number
  /** Milliseconds of the program until its port was open. */
  program: number
  /** Milliseconds from then until an answer of /livez with 200 had come. */
  answer: number
}

/** Milliseconds between two tries: where there is one processor, trying takes it from the agent. */
const pause = 3

/**
 * Program text of Node that says `asking`, then tries to connect until it could, asks until the answer is 200, and prints how
 * many milliseconds lay between the two. It waits for the port to be closed first.
 */
function asking(port: number): string {
  return `const { connect } = require('node:net'); const { get } = require('node:http')
    const at = { host: '127.0.0.1', port: ${port} }
    const wait = () => new Promise((done) => setTimeout(done, ${pause}))
    const open = () => new Promise((done) => { const s = connect(at, () => { s.destroy(); done(true) }).on('error', () => done(false)) })
    const alive = () => new Promise((done) => get({ ...at, path: '/livez', agent: false }, (r) => { r.resume(); done(r.statusCode === 200) }).on('error', () => done(false)))
    ;(async () => { console.log('asking')
      while (await open()) await wait()
      while (!(await open())) await wait()
      const from = performance.now()
      while (!(await alive())) await wait()
      console.log(performance.now() - from) })()`
}

/** Kills an agent, starts it again and asks it from its own host until it answers. */
export async function firstAnswer(lab: Lab, name: string, port: number): Promise<FirstAnswer> {
  const asker = spawn('ip', ['netns', 'exec', name, process.execPath, '-e', asking(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const lines = createInterface({ input: asker.stdout })
    await once(lines, 'line')
    const told = once(lines, 'line', { signal: AbortSignal.timeout(120_000) })
    const { node, listening } = await startAnew(lab, name)
    const [answer] = (await told) as [string]
    return { node, program: listening - node, answer: Number(answer) }
  } finally {
    asker.kill()
  }
}
