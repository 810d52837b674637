/** What the agent would have the kernel hold on this machine, for whoever only wants to know. */
import type { System } from '@vpn-gateway/config'
import { readIpvs, type DesiredState, type Owner, type Runner } from '@vpn-gateway/kernel'
import { desired, owner } from './desired.ts'
import { clientService, liveServers } from './ipvs.ts'
import { identify } from './preflight.ts'
import { hasIpv6 } from './world.ts'

/** Desired state and ownership, with the gateways that IPVS has now; what keepalived and conntrackd set up is theirs. */
export async function intent(
  runner: Runner,
  system: System,
  options: { config: string; name: string; interface: string; routerInterface: string },
): Promise<{ desired: DesiredState; owner: Owner }> {
  const router = await identify(runner, system, {
    ...options,
    listen: '',
    runDir: '/run/vpn-gateway',
    logLevel: 'info',
  })
  const servers = clientService(await readIpvs().catch(() => undefined))?.realServers ?? []
  const live = liveServers(servers)
  return { desired: desired(router, { live, inService: servers.length, orphans: 'drop', ipv6: hasIpv6() }), owner }
}
