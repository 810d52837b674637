/**
 * What `vpn-gateway plan` would say of an agent: nothing, where the kernel holds all that it should. It is asked for after every
 * round of chaos, and starting it costs an emulated processor more than the plan; so one process for each namespace waits there.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { PlanRequest } from '@vpn-gateway/cli/plan'
import type { LabState } from '../context.ts'
import { programFlags, programPath, runDirectory } from '../paths.ts'
import { tunnelFile } from '../topology/provider.ts'
import type { AgentSpec } from './agents.ts'

/** A line of the process: the steps, with what stands in their way or was left out, or why there is no plan. */
export type PlanAnswer = { steps: string[] } | { error: string }

export interface Planners {
  /** Steps that an agent's fresh plan has, one line each; rejects where there is none. One at a time for each agent. */
  plan(agent: AgentSpec): Promise<string[]>
  stop(): void
}

/** Nice value above that of whoever asks (nice(1)). */
const plannerNice = 5
/** Milliseconds that a plan may take: emulated, while the system itself comes first. */
const timeoutMs = 120_000

interface Planner {
  child: ChildProcessByStdio<Writable, Readable, null>
  lines: Interface
}

/** Makes the processes lazily, and again when one has died with its namespace. */
export function createPlanners({ systemFile }: Pick<LabState, 'systemFile'>): Planners {
  const planners = new Map<string, Planner>()

  function plannerIn(namespace: string): Planner {
    const found = planners.get(namespace)
    if (found !== undefined) return found
    const argv = ['netns', 'exec', namespace, process.execPath, ...programFlags, programPath('lab-planner')]
    // What only looks must not keep agents from what they have to do in time.
    const child = spawn('nice', ['-n', String(plannerNice), 'ip', ...argv], { stdio: ['pipe', 'pipe', 'inherit'] })
    const planner = { child, lines: createInterface({ input: child.stdout }) }
    const gone = (): void => {
      if (planners.get(namespace) === planner) planners.delete(namespace)
    }
    child.on('error', gone)
    child.on('exit', gone)
    child.stdin.on('error', gone)
    planners.set(namespace, planner)
    return planner
  }

  return {
    async plan({ kind, name, namespace }) {
      const { child, lines } = plannerIn(namespace)
      const ended = new AbortController()
      const stop = (): void => ended.abort(new Error(`${name}: what plans there ended`))
      child.once('exit', stop)
      let answer: PlanAnswer
      try {
        const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(timeoutMs)])
        const line = once(lines, 'line', { signal })
        child.stdin.write(`${JSON.stringify(requestFor(kind, name, systemFile))}\n`)
        answer = JSON.parse(((await line) as [string])[0]) as PlanAnswer
      } catch (error) {
        // An answer that is late would be taken for that of the next question.
        child.kill('SIGKILL')
        throw ended.signal.aborted ? ended.signal.reason : error
      } finally {
        child.off('exit', stop)
      }
      if ('error' in answer) throw new Error(answer.error)
      return answer.steps
    },
    stop() {
      for (const { child } of planners.values()) child.kill('SIGKILL')
      planners.clear()
    },
  }
}

function requestFor(kind: AgentSpec['kind'], name: string, file: string): PlanRequest {
  if (kind !== 'gateway') return { agent: kind, name, file }
  return { agent: kind, name, file, tunnel: tunnelFile(name), forwardsFile: join(runDirectory(name), 'forwards.json') }
}
