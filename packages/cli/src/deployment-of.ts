import { addressPlan, namespace, UserError, type System } from '@vpn-gateway/config'
import type { Deployment } from './manifest/deployment.ts'
import { version } from './version.ts'

/** Gateway pods where nobody says how many: one may die and one may be updated, and traffic still has an exit. */
const usualGateways = 3

/** Everything that manifests are made from; `file` stands before every problem. */
export function deploymentOf(
  file: string,
  { system, text }: { system: System; text: string },
  gateways?: number,
): Deployment {
  const plan = addressPlan(system)
  const most = system.routerNetwork === undefined ? 1 : plan.gatewayAddresses.length
  if (gateways !== undefined && gateways > most) {
    throw new UserError(
      system.routerNetwork === undefined
        ? `--gateways: ${gateways}: expected 1, since ${file} has no routerNetwork and so no routers to share flows out`
        : `--gateways: ${gateways}: expected at most ${most}, the addresses of gatewayNetwork.gateways in ${file}`,
    )
  }
  return { system, plan, text, version, namespace, gateways: gateways ?? Math.min(usualGateways, most) }
}
