/** An agent as a process: its start, by its own log, and what it costs. */
import { readFileSync } from 'node:fs'
import { awaitCondition, logPath, type Lab } from '@vpn-gateway/lab'

/**
 * Kills an agent and starts it again; milliseconds until Node ran its program and until it listened, by its own clock, and until
 * it was ready.
 */
export async function startAnew(lab: Lab, name: string): Promise<{ node: number; listening: number; ready: number }> {
  await lab.agents.kill(name)
  const from = readFileSync(logPath(name), 'utf8').length
  const began = performance.now()
  lab.agents.start(name)
  const listening = await awaitCondition(`${name} to listen`, () => listened(name, from), { timeoutMs: 60_000 })
  await lab.agents.awaitReady(name)
  return { ...listening, ready: performance.now() - began }
}

/** Milliseconds that Node and an agent took until it listened, from its log beyond a length. */
function listened(name: string, from: number): { node: number; listening: number } | undefined {
  const line = /^.*"msg":"listening".*$/m.exec(readFileSync(logPath(name), 'utf8').slice(from))?.[0]
  if (line === undefined) return undefined
  const { node, milliseconds } = JSON.parse(line) as { node: number; milliseconds: number }
  return { node, listening: milliseconds }
}

/** Program text of Node that takes so many answers of an agent and prints their lengths in time, milliseconds as JSON. */
export function scraping(url: string, times: number): string {
  return `(async () => { const times = []
    for (let i = 0; i < ${times}; i += 1) { const t = performance.now()
      await (await fetch('${url}')).text(); times.push(performance.now() - t) }
    console.log(JSON.stringify(times)) })()`
}

/** Program text of Node that prints how many milliseconds its own start took. */
export const ownStart = 'process.stdout.write(String(performance.now()))'
