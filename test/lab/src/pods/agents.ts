/** The product's agents: which command line each pod and node runs, and where its HTTP port is. */
import { containerArgv } from '../container/container.ts'
import { programFlags, programPath, runDirectory } from '../paths.ts'
import { tunnelFile } from '../topology/provider.ts'
import type { Topology } from '../topology/topology.ts'
import { agentNice } from './priority.ts'
import type { ProcessSpec } from './process.ts'

export interface AgentSpec extends ProcessSpec {
  kind: 'gateway' | 'router' | 'node'
  /** TCP port of its HTTP server. */
  port: number
}

const ports = { gateway: 9801, router: 9802, node: 9803 } as const

/** Command lines of all agents of a topology: the images' own with `images`, else as the images start them. */
export function agentsOf(topology: Topology, systemFile: string, images?: string): AgentSpec[] {
  const agent = (kind: AgentSpec['kind'], name: string, options: readonly string[]): AgentSpec => ({
    name,
    namespace: name,
    kind,
    port: ports[kind],
    argv: [
      'nice',
      '-n',
      String(agentNice),
      ...(images === undefined
        ? [
            process.execPath,
            ...programFlags,
            programPath(`${kind}-agent`),
            '--config',
            systemFile,
            '--name',
            name,
            '--run-dir',
            runDirectory(name),
            ...options,
          ]
        : containerArgv(images, kind, name)),
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
