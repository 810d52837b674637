/** A story told on a lab of its own, as a test hears it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Message, StoryEvent, StoryResult } from '@vpn-gateway/demo'

export interface Told {
  result: StoryResult
  /** Promises that were broken and are not about time: those are for the demo and the benchmarks to judge. */
  broken: string[]
  /** The event of that name; throws with the whole story where it did not come so far. */
  event(name: string): StoryEvent
}

/** Runs one of the lab's stories to its end and prints what it tells. */
export async function hear(story: 'demo' | 'failover' | 'chaos', ...options: string[]): Promise<Told> {
  const program = join(import.meta.dirname, `../../dist/lab-${story}.mjs`)
  const telling = spawn(process.execPath, [program, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  telling.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(telling, 'close')
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
  process.stdout.write(`${last.result.events.map(row).join('\n')}\n`)
  return {
    result: last.result,
    broken: said.filter((line) => line.startsWith('✘')),
    event(name) {
      const event = last.result.events.find((item) => item.event === name)
      if (event === undefined) throw new Error(`the story ended before ${name}:\n${said.join('\n')}`)
      return event
    },
  }
}

/** A row as docs/failover.md has them. */
function row({ event, flows, lost, longest_silence_ms: silence, leaked_packets: leaked }: StoryEvent): string {
  return `| ${event} | ${flows} | ${lost} | ${(silence / 1000).toFixed(2)} s | ${leaked} |`
}
