import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** One try of a client to open a connection: when it began, in Unix seconds, and what it heard; undefined for nothing. */
interface Try {
  at: number
  heard?: string
}

/** What a client of the internet meets with: it opens a connection four times a second and gives each a second. */
export interface ClientRecord {
  tries: Try[]
  /** Seconds from `since` to the first try after it that worked, no try failing later. Counts tries up to now. */
  outage(since: number): number
  /** Resolves with the next answer that holds the text. */
  hears(text: string): Promise<Try>
}

/** The client's program, for `node -e`. */
export const clientProgram = (address: string, port: number): string => `
  const net = require('net')
  setInterval(() => {
    const at = Date.now() / 1000
    let heard
    const socket = net.connect({ host: '${address}', port: ${port} })
    const timer = setTimeout(() => socket.destroy(), 1000)
    socket.once('data', (data) => { heard = String(data).trim(); socket.destroy() })
    socket.on('error', () => undefined)
    socket.once('close', () => { clearTimeout(timer); console.log(JSON.stringify({ at, heard })) })
  }, 250)`

/** Follows a process that runs the client's program. */
export function followClient(child: ChildProcess): ClientRecord {
  const tries: Try[] = []
  let waiting: { text: string; resolve: (one: Try) => void }[] = []
  if (child.stdout === null) throw new Error('no pipe')
  createInterface({ input: child.stdout }).on('line', (line) => {
    const one = JSON.parse(line) as Try
    tries.push(one)
    for (const each of waiting.filter(({ text }) => one.heard?.includes(text))) each.resolve(one)
    waiting = waiting.filter(({ text }) => !one.heard?.includes(text))
  })
  return {
    tries,
    outage(since) {
      const later = tries.filter(({ at }) => at >= since)
      const failed = later.findLast(({ heard }) => heard === undefined)
      if (failed === undefined) return 0
      const healed = later.find(({ at, heard }) => at > failed.at && heard !== undefined)
      return healed === undefined ? Number.POSITIVE_INFINITY : healed.at - since
    },
    hears: (text) => new Promise((resolve) => waiting.push({ text, resolve })),
  }
}
