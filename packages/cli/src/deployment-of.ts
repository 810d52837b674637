import { addressPlan, namespace, parseRange, rangeSize, UserError, type System } from '@vpn-gateway/config'
import type { Deployment } from './manifest/deployment.ts'
import { version } from './version.ts'

/** Gateway pods where nobody says how many: one may die and one may be updated, and traffic still has an exit. */
const usualGateways = 3

/** Everything that manifests are made from; `file` is named in problems. */
export function deploymentOf(
  file: string,
  { system, text }: { system: System; text: string },
  gateways?: number,
): Deployment {
  return {
    system,
    plan: addressPlan(system),
    text,
    version,
    namespace,
    gateways: gatewayCount(file, system, gateways),
  }
}

/** How many gateway pods there will be, whatever else is wrong with the system; throws a `UserError` where too many are asked for. */
export function gatewayCount(file: string, { routerNetwork, gatewayNetwork }: System, gateways?: number): number {
  const most = routerNetwork === undefined ? 1 : rangeSize(parseRange(gatewayNetwork.gateways))
  if (gateways !== undefined && gateways > most) {
    throw new UserError(
      routerNetwork === undefined
        ? `--gateways: ${gateways}: expected 1, since ${file} has no routerNetwork and so no routers to share flows out`
        : `--gateways: ${gateways}: expected at most ${most}, the addresses of gatewayNetwork.gateways in ${file}`,
    )
  }
  return gateways ?? Math.min(usualGateways, most)
}
