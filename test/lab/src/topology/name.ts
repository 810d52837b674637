/** The cluster's DNS, as far as the agents ask it: a hosts file on each node in place of a name server. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { System } from '@vpn-gateway/config'
import type { Topology } from './topology.ts'

/** What is here for a namespace, ip-netns(8) mounts over /etc for each program that it starts there. */
const directoryOf = (namespace: string): string => join('/etc/netns', namespace)

/** Has every node resolve the name of the node agents' Service to all nodes, where the system file asks for one. */
export async function nameNodes({ nodes }: Topology, { underlay: { peers } }: System): Promise<void> {
  if (!('dns' in peers)) return
  const lines = ['127.0.0.1 localhost', ...nodes.map(({ address }) => `${address} ${peers.dns}`)]
  for (const { name } of nodes) {
    await mkdir(directoryOf(name), { recursive: true })
    await writeFile(join(directoryOf(name), 'hosts'), `${lines.join('\n')}\n`)
  }
}

/** Takes the names away again. */
export async function unnameNodes({ nodes }: Topology): Promise<void> {
  for (const { name } of nodes) await rm(directoryOf(name), { recursive: true, force: true })
}
