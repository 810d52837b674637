/** The router: flows to live gateways, replies back, and another router that can go on with all of them. */
import { runAgent } from '@vpn-gateway/runtime/agent'
import { routerOptions } from './options.ts'

await runAgent({
  agent: 'router-agent',
  options: routerOptions,
  build: async (context) => (await import('./build.ts')).build(context),
})
