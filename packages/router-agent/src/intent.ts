/** What the agent would have the kernel hold on this machine, for whoever only wants to know. */
import type { System } from '@vpn-gateway/config'
import { listNftTable, readIpvs, type DesiredState, type Owner, type Runner } from '@vpn-gateway/kernel'
import { desired, ownerOf } from './desired.ts'
import { orphanTable } from './firewall.ts'
import { clientService, liveServers } from './ipvs.ts'
import { identify } from './preflight.ts'
import type { Router } from './router.ts'
import { holdsVirtualAddress } from './vrrp.ts'
import { hasIpv6, type World } from './world.ts'

/**
 * Desired state and ownership, with the gateways that IPVS has now; what keepalived and conntrackd set up is theirs. What an
 * active router does with flows that it does not know is as the kernel has it.
 */
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
  const orphans = await verdictOn(runner, router)
  return {
    desired: desired(router, { live, inService: servers.length, orphans, ipv6: hasIpv6() }),
    owner: ownerOf(router),
  }
}

/**
 * Only the running agent knows since when a router has been active, and with that whether it resets yet what it does not
 * know; one that starts on an active router does. Whoever does not hold the VIP must not.
 */
async function verdictOn(runner: Runner, router: Router): Promise<World['orphans']> {
  if (!holdsVirtualAddress(router)) return 'drop'
  const table = await listNftTable(runner, 'ip', orphanTable)
  return table === undefined || table.body.includes('tcp reset') ? 'reset' : 'drop'
}
