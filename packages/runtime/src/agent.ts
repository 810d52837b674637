/** The process of an agent: its options and its port; what it is made of is loaded once that is open. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { UserError } from '@vpn-gateway/config/errors'
import type { FastifyInstance } from 'fastify'
import type { Component } from './component.ts'
import type { Readiness } from './http.ts'
import type { Log } from './log.ts'
import type { Registry } from './metrics.ts'
import {
  Answer,
  commonOptions,
  parseListen,
  readOptions,
  type OptionDeclarations,
  type OptionValues,
} from './options.ts'
import { openPort, type Port } from './port.ts'
import { stackOf } from './stack.ts'
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
  /** Started in this order once HTTP is the agent's, stopped in reverse. */
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
  /**
   * Puts the agent together and changes nothing yet; called once health is answered, so what it needs is best loaded in it.
   * May throw a `UserError`.
   */
  build: (context: AgentContext<D>) => Promise<AgentParts>
}

const defaultPort: Record<AgentName, number> = { 'gateway-agent': 9801, 'router-agent': 9802, 'node-agent': 9803 }

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
    const port = await openOrProblem(parseListen(options.listen) ?? { host: '0.0.0.0', port: defaultPort[agent] })
    // In one file with the rest of a program, import() does not wait: without a turn of the loop nobody would be answered.
    await nextTurn()
    const { run } = await import('./run.ts')
    await nextTurn()
    await run({ agent, options: own, build }, options, port)
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

function withPort(agent: AgentName) {
  return { ...commonOptions, listen: { ...commonOptions.listen, default: `0.0.0.0:${defaultPort[agent]}` } }
}

/** The port, or what is wrong with it. */
async function openOrProblem(at: { host: string; port: number }): Promise<Port | UserError> {
  try {
    return await openPort(at)
  } catch (error) {
    if (error instanceof UserError) return error
    throw error
  }
}
