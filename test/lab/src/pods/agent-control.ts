/** Starts, ends and asks the agents of a lab. */
import { type Change, containerPid, prepareContainer } from '../container/container.ts'
import type { LabContext } from '../context.ts'
import { GivenUp, awaitCondition } from '../wait.ts'
import { agentsOf } from './agents.ts'
import type { AgentSpec } from './agents.ts'
import { endProcess, logTail, processId, signalProcess, startProcess } from './process.ts'

/** Agents by the name of their pod or node. */
export interface Agents {
  readonly names: readonly string[]
  /** Makes ready what an agent's container needs, with the manifests' settings or changed ones; nothing without images. */
  prepare(name: string, change?: Change): Promise<void>
  /** Starts an agent that does not run; does not wait for it. */
  start(name: string): void
  /** SIGTERM (drains) unless said, and waits for the end. */
  stop(name: string, options?: { signal?: NodeJS.Signals; timeoutMs?: number }): Promise<void>
  /** SIGKILL to the agent alone; its daemons are left to themselves, as after a crash. */
  kill(name: string): Promise<void>
  /** Kills and starts again, and waits until it is ready. */
  restart(name: string): Promise<void>
  /** Sends a signal to the agent; false when it does not run. */
  signal(name: string, signal: NodeJS.Signals): boolean
  /** Process id; `undefined` when it does not run. */
  pid(name: string): number | undefined
  /** State that /readyz tells, with its reasons; `down` when nothing answers. */
  readiness(name: string): Promise<AgentReadiness>
  /** Waits for /readyz to answer 200; fails with its reasons and the log's end. */
  awaitReady(name: string, timeoutMs?: number): Promise<void>
  /** What `vpn-gateway plan` would change in an agent's namespace, one line a step; empty where the kernel is as it should be. */
  plan(name: string): Promise<string[]>
}

export interface AgentReadiness {
  state: string
  reasons: string[]
}

/** Milliseconds that an agent may take to become ready: emulated, on a busy machine, with all of them starting at once. */
const READY_TIMEOUT_MS = 400_000

/** Makes the control of one lab's agents. */
export function createAgents(context: LabContext): Agents {
  const { topology, state, request } = context
  const specs = new Map(agentsOf(topology, state.systemFile, state.images).map((spec) => [spec.name, spec]))
  const specOf = (name: string): AgentSpec => {
    const spec = specs.get(name)
    if (spec === undefined) throw new Error(`no agent ${name}: expected one of ${[...specs.keys()].join(', ')}`)
    return spec
  }
  // A container's first process is told, as kubelet does: crun itself is only its parent here.
  const tell = (name: string, signal: NodeJS.Signals): boolean => {
    const pid = state.images === undefined ? undefined : containerPid(name)
    if (pid === undefined || processId(name) === undefined) return signalProcess(name, signal)
    return process.kill(pid, signal)
  }
  const end = async (name: string, signal: NodeJS.Signals, timeoutMs: number): Promise<void> => {
    if (state.images !== undefined) tell(name, signal)
    return endProcess(name, state.images === undefined ? signal : undefined, timeoutMs)
  }
  const agents: Agents = {
    names: [...specs.keys()],
    async prepare(name, change) {
      const { kind } = specOf(name)
      const { images, systemFile } = state
      if (images !== undefined) await prepareContainer(images, topology, { kind, name, systemFile }, change)
    },
    start(name) {
      startProcess(specOf(name))
    },
    stop: (name, { signal = 'SIGTERM', timeoutMs = 60_000 } = {}) => end(specOf(name).name, signal, timeoutMs),
    kill: (name) => end(specOf(name).name, 'SIGKILL', 10_000),
    async restart(name) {
      await agents.kill(name)
      agents.start(name)
      await agents.awaitReady(name)
    },
    signal: (name, signal) => tell(specOf(name).name, signal),
    pid: (name) => processId(specOf(name).name),
    async readiness(name) {
      const { namespace, port } = specOf(name)
      const response = await request(namespace, { port, path: '/readyz' }).catch(() => undefined)
      return response === undefined ? { state: 'down', reasons: ['nothing answers'] } : parseReadiness(response.body)
    },
    async awaitReady(name, timeoutMs = READY_TIMEOUT_MS) {
      const { namespace, port } = specOf(name)
      await awaitCondition(
        `${name} to be ready`,
        async () => {
          if (processId(name) === undefined) throw new GivenUp(`${name} ended\n${logTail(name)}`)
          const { status, body } = await request(namespace, { port, path: '/readyz' })
          if (status === 200) return true
          const { state: readiness, reasons } = parseReadiness(body)
          throw new Error(`${readiness}: ${reasons.join('; ')}`)
        },
        // Each look costs an emulated processor some 50 ms.
        { timeoutMs, intervalMs: 500 },
      )
    },
    plan: (name) => context.plan(specOf(name)),
  }
  return agents
}

function parseReadiness(body: string): AgentReadiness {
  try {
    const { state = 'unknown', reasons = [] } = JSON.parse(body) as Partial<AgentReadiness>
    return { state, reasons }
  } catch {
    return { state: 'unknown', reasons: [body.slice(0, 200)] }
  }
}
