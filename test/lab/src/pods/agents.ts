/** The product's agents: which command line each pod and node runs, and where its HTTP port is. */
import { runDirectory, programPath } from '../paths.ts'
import { tunnelFile } from '../topology/provider.ts'
import type { Topology } from '../topology/topology.ts'
import type { ProcessSpec } from './process.ts'

export interface AgentSpec extends ProcessSpec {
  kind: 'gateway' | 'router' | 'node'
  /** TCP port of its HTTP server. */
  port: number
}

const ports = { gateway: 9801, router: 9802, node: 9803 } as const

/** Command lines of all agents of a topology, as the images start them. */
export function agentsOf(topology: Topology, systemFile: string): AgentSpec[] {
  const agent = (kind: AgentSpec['kind'], name: string, options: readonly string[]): AgentSpec => ({
    name,
    namespace: name,
    kind,
    port: ports[kind],
    argv: [
      process.execPath,
      // Less memory and less compiling; an agent's work is mostly waiting.
      '--no-maglev',
      '--max-semi-space-size=1',
      programPath(`${kind}-agent`),
      '--config',
      systemFile,
      '--name',
      name,
      '--run-dir',
      runDirectory(name),
      ...options,
    ],
  })
  return [
    ...topology.nodes.map(({ name }) => agent('node', name, [])),
    ...topology.pods.flatMap(({ kind, name }) => {
      if (kind === 'gateway') {
        return [agent(kind, name, ['--interface', 'net1', '--primary', 'eth0', '--tunnel', tunnelFile(name)])]
      }
      if (kind === 'router') return [agent(kind, name, ['--interface', 'net1', '--router-interface', 'net2'])]
      return []
    }),
  ]
}
