/** The node: a bridge for each network that pods are plugged into, and a VXLAN link that joins it with the other nodes'. */
import { runAgent } from '@vpn-gateway/runtime/agent'
import { nodeOptions } from './options.ts'

await runAgent({
  agent: 'node-agent',
  options: nodeOptions,
  build: async (context) => (await import('./build.ts')).build(context),
})
