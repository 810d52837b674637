/** A story told on a lab of its own, as a test hears it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { LeakCase, LeakResult, Message, StoryEvent, StoryResult } from '@vpn-gateway/demo'
import { leakRows } from '@vpn-gateway/demo/screen'

interface Told<R> {
  result: R
  /** Promises that were broken and are not about time: those are for the demo and the benchmarks to judge. */
  broken: string[]
}

export interface ToldStory extends Told<StoryResult> {
  /** The event of that name; throws with the whole story where it did not come so far. */
  event(name: string): StoryEvent
}

export interface ToldLeaks extends Told<LeakResult> {
  /** The case of that name; throws with the whole story where it did not come so far. */
  case(name: string): LeakCase
}

/** Runs one of the lab's stories about flows to its end and prints what it tells. */
export async function hear(story: 'demo' | 'failover' | 'chaos', ...options: string[]): Promise<ToldStory> {
  const { result, said, broken } = await listen(story, options)
  if (!('events' in result)) throw new Error(`${story} told of no events`)
  process.stdout.write(`${result.events.map(row).join('\n')}\n`)
  return {
    result,
    broken,
    event: (name) =>
      told(
        name,
        said,
        result.events.find(({ event }) => event === name),
      ),
  }
}

/** Runs the leak suite to its end and prints what it tells. */
export async function hearLeaks(...options: string[]): Promise<ToldLeaks> {
  const { result, said, broken } = await listen('leaks', options)
  if (!('cases' in result)) throw new Error('the leak suite told of no cases')
  process.stdout.write(
    `${leakRows(result)
      .map((cells) => `| ${cells.join(' | ')} |`)
      .join('\n')}\n`,
  )
  return {
    result,
    broken,
    case: (name) =>
      told(
        name,
        said,
        result.cases.find((item) => item.case === name),
      ),
  }
}

function told<T>(name: string, said: readonly string[], found: T | undefined): T {
  if (found === undefined) throw new Error(`the story ended before ${name}:\n${said.join('\n')}`)
  return found
}

async function listen(story: string, options: readonly string[]) {
  const program = join(import.meta.dirname, `../../dist/lab-${story}.mjs`)
  const telling = spawn(process.execPath, [program, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  telling.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const [code] = (await once(telling, 'close')) as [number | null]
  const messages = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Message)
  const said = messages.flatMap((message) => {
    if (message.type === 'chapter') return [`# ${message.title}`]
    if (message.type === 'line') return [message.text]
    if (message.type !== 'promise') return []
    return [`${message.held ? '✔' : message.timed ? '(on this machine) ✘' : '✘'} ${message.text}`]
  })
  process.stdout.write(`${said.join('\n')}\n`)
  const last = messages.at(-1)
  if (last?.type !== 'result') throw new Error(`the story ended without a result:\n${said.join('\n')}`)
  // A story ends with 0 whatever was broken; with anything else it could not be told to its end.
  if (code !== 0) throw new Error(`the story ended early, with ${code}:\n${said.join('\n')}`)
  return { result: last.result, said, broken: said.filter((line) => line.startsWith('✘')) }
}

/** A row as docs/failover.md has them. */
function row({ event, flows, lost, longest_silence_ms: silence, leaked_packets: leaked }: StoryEvent): string {
  return `| ${event} | ${flows} | ${lost} | ${(silence / 1000).toFixed(2)} s | ${leaked} |`
}
