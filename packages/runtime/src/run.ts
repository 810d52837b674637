/** An agent from its options and its port on: components in order, drain, the end in reverse. */
import { mkdir } from 'node:fs/promises'
import { constants } from 'node:os'
import closeWithGrace from 'close-with-grace'
import { UserError } from '@vpn-gateway/config/errors'
import type { AgentDefinition, AgentName, AgentParts } from './agent.ts'
import type { Component } from './component.ts'
import { untilOverdue } from './deadline.ts'
import { createHttp, type Readiness } from './http.ts'
import { createLifecycle } from './lifecycle.ts'
import { createLog, type Log } from './log.ts'
import { createRegistry, type Registry } from './metrics.ts'
import type { commonOptions, OptionDeclarations, OptionValues } from './options.ts'
import type { Port } from './port.ts'
import { stackOf } from './stack.ts'
import { version } from './version.ts'

/** Seconds for stopping everything once drained. */
const stopSeconds = 10

/** Seconds more, in which what does not heed its deadline is given up, before the process ends whatever is left. */
const overdueSeconds = 5

/**
 * Builds the agent, starts its parts and leaves them running. Throws a `UserError` when what the user gave is wrong; ends the
 * process with 1 when it cannot start for another reason.
 */
export async function run<D extends OptionDeclarations>(
  { agent, build }: AgentDefinition<D>,
  options: OptionValues<typeof commonOptions & D>,
  port: Port | UserError,
): Promise<void> {
  const log = createLog({ agent, name: options.name }, options.logLevel)
  const registry = createRegistry(agent, version)
  const ending = new AbortController()
  try {
    const parts = await build({ options, log, registry, signal: ending.signal })
    // What is wrong with a file says more than that another agent has the port.
    if (port instanceof UserError) throw port
    const { bootstrapComplete: node } = performance.nodeTiming
    log.info({ listen: options.listen, milliseconds: port.openAfter, node: Math.round(node) }, 'listening')
    await start(parts, { agent, options, log, registry, port, ending })
  } catch (error) {
    // Told to end while starting, a component may well fail to start: what is stopping the agent ends the process.
    if (ending.signal.aborted) return
    if (error instanceof UserError) throw error
    log.fatal({ error: stackOf(error) }, 'could not start')
    process.exit(1)
  }
}

interface Surroundings {
  agent: AgentName
  options: OptionValues<typeof commonOptions>
  log: Log
  registry: Registry
  port: Port
  ending: AbortController
}

async function start(parts: AgentParts, { agent, options, log, registry, port, ending }: Surroundings): Promise<void> {
  const started = Date.now()
  let phase: 'starting' | 'running' | 'draining' = 'starting'

  function readiness(): Readiness {
    if (phase === 'draining') return { state: 'draining', reasons: ['told to end'] }
    const answer = parts.http.readiness()
    if (phase === 'running' || answer.state === 'draining') return answer
    return { state: 'unready', reasons: ['starting', ...answer.reasons] }
  }

  const http = createHttp({
    port,
    log,
    registry,
    readiness,
    ...(parts.http.alive === undefined ? {} : { alive: parts.http.alive }),
    status: async () => ({
      agent,
      name: options.name,
      version,
      upSeconds: Math.round((Date.now() - started) / 1000),
      ...readiness(),
      ...(await parts.http.status?.()),
    }),
    ...(parts.http.routes === undefined ? {} : { routes: parts.http.routes }),
  })
  const lifecycle = createLifecycle([http, runDirectory(options.runDir), ...parts.components], log)
  const drainSeconds = parts.drain === undefined ? 0 : (parts.drainSeconds ?? 30)

  async function drain(deadline: AbortSignal): Promise<void> {
    if (parts.drain === undefined) return
    try {
      const end = await untilOverdue(parts.drain(deadline), deadline)
      if (end === 'overdue') log.error('draining took too long: stopping')
    } catch (error) {
      log.error({ error: error instanceof Error ? error.message : String(error) }, 'draining failed: stopping')
    }
  }

  const grace = {
    delay: (drainSeconds + stopSeconds + overdueSeconds) * 1000,
    logger: undefined,
    onSecondSignal(signal?: NodeJS.Signals) {
      log.warn({ signal }, 'told again to end: ending at once')
      process.exit(signal === undefined ? 1 : 128 + constants.signals[signal])
    },
    onSecondError: (error: unknown) => log.fatal({ error: stackOf(error) }, 'another error while ending'),
    onTimeout: (milliseconds: number) => log.fatal({ milliseconds }, 'could not end in time'),
  }
  closeWithGrace(grace, async ({ signal, err }) => {
    ending.abort()
    if (err !== undefined) {
      // The kernel's rules stay as they are: closed. Whoever starts the agent again finds them.
      log.fatal({ error: stackOf(err) }, 'ending after an unexpected error')
      return
    }
    phase = 'draining'
    log.info({ signal, drainSeconds }, 'told to end: draining')
    await drain(AbortSignal.timeout(drainSeconds * 1000))
    log.info('stopping')
    await lifecycle.stop(AbortSignal.timeout(stopSeconds * 1000))
  })

  await lifecycle.start(ending.signal)
  if (ending.signal.aborted) return
  phase = 'running'
  log.info({ milliseconds: Date.now() - started }, 'started')
}

/** Made only once HTTP has its port: a mistake that shows before leaves nothing behind. */
function runDirectory(path: string): Component {
  return { name: 'run-dir', start: () => makeRunDir(path), stop: async () => undefined }
}

async function makeRunDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 })
  } catch (error) {
    throw new UserError(
      `--run-dir: ${path}: ${error instanceof Error ? error.message : String(error)}: expected a writable directory`,
    )
  }
}
