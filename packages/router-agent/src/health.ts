import type { Component, Log } from '@vpn-gateway/runtime'

/** Milliseconds between two looks. */
const lookEvery = 1000

/** Looks at what has no events of its own: daemons' children, kernel threads. */
export function createHealthLoop(look: () => Promise<void>, log: Log): Component {
  let timer: NodeJS.Timeout | undefined
  let stopped = true
  async function round(): Promise<void> {
    await look().catch((error: unknown) => log.warn({ error: String(error) }, 'looking at the daemons failed'))
    if (!stopped) timer = setTimeout(() => void round(), lookEvery)
  }
  return {
    name: 'health',
    async start() {
      stopped = false
      await round()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}
