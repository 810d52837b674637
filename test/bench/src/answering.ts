/** A process that answers over HTTP, from its start on. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds between two questions. */
const pause = 2
/** Milliseconds after which no answer is awaited any more. */
const longest = 60_000

interface Question {
  port: number
  path: string
  /** What has to stand in the answer; without it its status is enough. */
  says?: string
}

interface Answering {
  pid: number
  /** From its start until the answer was there. */
  milliseconds: number
  /** Kills it. */
  end(): Promise<void>
}

/** Starts a program and asks 127.0.0.1 until it answers 200, and so; throws with what it said when it does not in a minute. */
export async function startAnswering(
  [program = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  question: Question,
): Promise<Answering> {
  const began = performance.now()
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => (said += part))
  const ended = once(child, 'exit')
  const end = async () => {
    child.kill('SIGKILL')
    await ended
  }
  try {
    while (!(await answers(question))) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`ended before it answered: ${said}`)
      if (performance.now() - began > longest) throw new Error(`${question.path} was not answered: ${said}`)
      await delay(pause)
    }
    return { pid: child.pid ?? 0, milliseconds: performance.now() - began, end }
  } catch (error) {
    await end()
    throw error
  }
}

function answers({ port, path, says }: Question): Promise<boolean> {
  return new Promise((resolve) => {
    // A connection of its own each time, which ends with the program.
    get({ host: '127.0.0.1', port, path, agent: false, timeout: longest }, (response) => {
      const isOk = response.statusCode === 200
      if (!isOk || says === undefined) {
        response.resume()
        resolve(isOk)
      } else {
        text(response).then(
          (page) => resolve(page.includes(says)),
          () => resolve(false),
        )
      }
    })
      .once('timeout', () => resolve(false))
      .once('error', () => resolve(false))
  })
}
