/** The process of an agent: options, HTTP, components in order, drain, the end in reverse. */
import { mkdir } from 'node:fs/promises'
import { constants } from 'node:os'
import closeWithGrace from 'close-with-grace'
import { UserError } from '@vpn-gateway/config'
import type { FastifyInstance } from 'fastify'
import type { Component } from './component.ts'
import { untilOverdue } from './deadline.ts'
import { createHttp, type Readiness } from './http.ts'
import { createLifecycle } from './lifecycle.ts'
import { createLog, type Log } from './log.ts'
import { createRegistry, type Registry } from './metrics.ts'
import {
  Answer,
  commonOptions,
  parseListen,
  readOptions,
  type OptionDeclarations,
  type OptionValues,
} from './options.ts'
import { version } from './version.ts'

export type AgentName = 'gateway-agent' | 'router-agent' | 'node-agent'

export interface AgentContext<D extends OptionDeclarations> {
  options: OptionValues<typeof commonOptions & D>
  log: Log
  /** The agent's own registry; no other is scraped. */
  registry: Registry
  /** Aborted when the agent is asked to end. */
  signal: AbortSignal
}

export interface AgentParts {
  /** Started in this order after HTTP is up, stopped in reverse. */
  components: Component[]
  http: {
    readiness: () => Readiness
    alive?: () => string[]
    status?: () => object | Promise<object>
    routes?: (app: FastifyInstance) => void
  }
  /** Resolves when nothing depends on this agent any more; `deadline` aborts after `drainSeconds`. */
  drain?: (deadline: AbortSignal) => Promise<void>
  drainSeconds?: number
}

export interface AgentDefinition<D extends OptionDeclarations> {
  agent: AgentName
  options: D
  /** Puts the agent together and changes nothing yet. May throw a `UserError`. */
  build: (context: AgentContext<D>) => Promise<AgentParts>
}

const defaultPort: Record<AgentName, number> = { 'gateway-agent': 9801, 'router-agent': 9802, 'node-agent': 9803 }

/** Seconds for stopping everything once drained. */
const stopSeconds = 10

/** Seconds more, in which what does not heed its deadline is given up, before the process ends whatever is left. */
const overdueSeconds = 5

/** Exit code for a user's mistake: nothing was changed. */
const userMistake = 2

/**
 * Runs an agent until it is told to end (SIGTERM or SIGINT; a second one ends it at once, with 128 and its number). Exit
 * code 0 after that, 1 when it failed, 2 for wrong options, a wrong file or a missing requirement.
 */
export async function runAgent<D extends OptionDeclarations>({
  agent,
  options: own,
  build,
}: AgentDefinition<D>): Promise<void> {
  try {
    const declarations = { ...withPort(agent), ...own }
    const options = readOptions(declarations, {
      program: agent,
      version,
      args: process.argv.slice(2),
      env: process.env,
    })
    await run(agent, options, build)
  } catch (error) {
    if (error instanceof Answer) {
      console.log(error.message)
    } else if (error instanceof UserError) {
      for (const problem of error.problems) console.error(`${agent}: ${problem}`)
      process.exit(userMistake)
    } else {
      console.error(`${agent}: ${stackOf(error)}`)
      process.exit(1)
    }
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function withPort(agent: AgentName) {
  return { ...commonOptions, listen: { ...commonOptions.listen, default: `0.0.0.0:${defaultPort[agent]}` } }
}

async function run<D extends OptionDeclarations>(
  agent: AgentName,
  options: OptionValues<typeof commonOptions & D>,
  build: AgentDefinition<D>['build'],
): Promise<void> {
  const log = createLog({ agent, name: options.name }, options.logLevel)
  const registry = createRegistry(agent, version)
  const ending = new AbortController()
  try {
    await assemble(agent, { options, log, registry, signal: ending.signal }, build, ending)
  } catch (error) {
    // Told to end while starting, a component may well fail to start: what is stopping the agent ends the process.
    if (ending.signal.aborted) return
    if (error instanceof UserError) throw error
    log.fatal({ error: stackOf(error) }, 'could not start')
    process.exit(1)
  }
}

async function assemble<D extends OptionDeclarations>(
  agent: AgentName,
  context: AgentContext<D>,
  build: AgentDefinition<D>['build'],
  ending: AbortController,
): Promise<void> {
  const { options, log, registry } = context
  const parts = await build(context)
  const started = Date.now()
  let phase: 'starting' | 'running' | 'draining' = 'starting'

  function readiness(): Readiness {
    if (phase === 'draining') return { state: 'draining', reasons: ['told to end'] }
    const answer = parts.http.readiness()
    if (phase === 'running' || answer.state === 'draining') return answer
    return { state: 'unready', reasons: ['starting', ...answer.reasons] }
  }

  const listen = parseListen(options.listen)
  const http = createHttp({
    ...(listen ?? { host: '0.0.0.0', port: defaultPort[agent] }),
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
