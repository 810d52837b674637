/** The process of an agent: options, HTTP, components in order, drain, the end in reverse. */
import { mkdir } from 'node:fs/promises'
import closeWithGrace from 'close-with-grace'
import { UserError } from '@vpn-gateway/config'
import type { FastifyInstance } from 'fastify'
import type { Component } from './component.ts'
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

/** Exit code for a user's mistake: nothing was changed. */
const userMistake = 2

/**
 * Runs an agent until it is told to end (SIGTERM or SIGINT; a second one ends it at once). Exit code 0 after that, 1 when
 * it failed, 2 for wrong options, a wrong file or a missing requirement.
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
      console.error(`${agent}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      process.exit(1)
    }
  }
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
  await makeRunDir(options.runDir)
  const parts = await build({ options, log, registry, signal: ending.signal })
  const started = Date.now()
  let phase: 'starting' | 'running' | 'draining' = 'starting'

  function readiness(): Readiness {
    if (phase === 'draining') return { state: 'draining', reasons: ['told to end'] }
    const answer = parts.http.readiness()
    if (phase === 'starting' && answer.state === 'ready') return { state: 'unready', reasons: ['starting'] }
    return answer
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
  const lifecycle = createLifecycle([http, ...parts.components], log)
  const drainSeconds = parts.drain === undefined ? 0 : (parts.drainSeconds ?? 30)

  closeWithGrace({ delay: (drainSeconds + stopSeconds) * 1000 + 2000, logger: undefined }, async ({ signal, err }) => {
    ending.abort()
    if (err !== undefined) {
      // The kernel's rules stay as they are: closed. Whoever starts the agent again finds them.
      log.fatal({ error: err.stack ?? err.message }, 'ending after an unexpected error')
      return
    }
    phase = 'draining'
    log.info({ signal, drainSeconds }, 'told to end: draining')
    await parts.drain?.(AbortSignal.timeout(drainSeconds * 1000))
    log.info('stopping')
    await lifecycle.stop(AbortSignal.timeout(stopSeconds * 1000))
  })

  await lifecycle.start(ending.signal)
  if (phase === 'starting') phase = 'running'
  log.info({ listen: options.listen, milliseconds: Date.now() - started }, 'started')
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
