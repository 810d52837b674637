import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect } from 'vitest'
import { dial } from './gateway-world.ts'

/** A flow of a client that lasts. */
export interface ClientFlow {
  child: ChildProcess
  /** Resolves with the third number from now on: it was said after this call. */
  goesOn(): Promise<void>
}

/** Begins a flow that says a number every quarter of a second, and stops where one does not come back. */
export function openFlow(start: (argv: [string, ...string[]]) => ChildProcess): ClientFlow {
  const talk = 'n=0; while echo $((++n)) >&3 && read -t 20 -r l <&3; do echo heard $l; sleep 0.25; done; echo cut'
  const child = start(['bash', '-c', dial('203.0.113.10', 80, `read -r l <&3; ${talk}`)])
  if (child.stdout === null) throw new Error('no pipe')
  const reader = createInterface({ input: child.stdout })
  return {
    child,
    async goesOn() {
      for (let left = 3; left > 0; left -= 1) {
        const [line] = (await once(reader, 'line', { signal: AbortSignal.timeout(30_000) })) as [string]
        expect(line).toMatch(/^heard /)
      }
    },
  }
}
