/** What the command line would have an agent change in its namespace: nothing, where the kernel holds all that it should. */
import { join } from 'node:path'
import type { LabContext } from '../context.ts'
import { programFlags, programPath, runDirectory } from '../paths.ts'
import { runIn } from '../topology/namespace.ts'
import { tunnelFile } from '../topology/provider.ts'
import type { AgentSpec } from './agents.ts'

/** Milliseconds that the command may take: emulated, while all agents are asked about at once. */
const timeoutMs = 120_000

/** Steps of `vpn-gateway plan` for an agent, one line each; rejects where the command does. */
export async function freshPlan({ runner, state }: LabContext, { kind, name }: AgentSpec): Promise<string[]> {
  const gateway = ['--tunnel', tunnelFile(name), '--forwards-file', join(runDirectory(name), 'forwards.json')]
  const command = [process.execPath, ...programFlags, programPath('vpn-gateway')]
  const options = ['--agent', kind, '--name', name, ...(kind === 'gateway' ? gateway : [])]
  // Behind everything that the system itself has to do, as this process is; with less, its own commands miss their deadlines.
  const argv = [...command, 'plan', ...options, state.systemFile]
  const lines = (await runIn(runner, name, argv, { timeoutMs })).split('\n').filter((line) => line !== '')
  return lines[0] === 'nothing to change' ? [] : lines
}
