/** The gateway: one WireGuard tunnel, clients' traffic through it and nowhere else, ports from the internet inwards. */
import { runAgent } from '@vpn-gateway/runtime/agent'
import { gatewayOptions } from './options.ts'

await runAgent({
  agent: 'gateway-agent',
  options: gatewayOptions,
  build: async (context) => (await import('./build.ts')).build(context),
})
