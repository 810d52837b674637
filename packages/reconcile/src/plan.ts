/**
 * From what should be and what is to the ordered list of changes. Pure. The order keeps the system closed: filters stand
 * before anything can pass, forwarding is switched on last, parents exist before children, and what goes, goes at the end.
 */
import type { DesiredState, ObservedState, Owner } from '@vpn-gateway/kernel'
import { planAddresses } from './plan-address.ts'
import { planFdb } from './plan-fdb.ts'
import { planIptables } from './plan-iptables.ts'
import { planLinks } from './plan-link.ts'
import { planNft } from './plan-nft.ts'
import { planRoutes } from './plan-route.ts'
import { planRules } from './plan-rule.ts'
import { planSysctls } from './plan-sysctl.ts'
import { planWireguard } from './plan-wireguard.ts'
import type { Step } from './step.ts'

/** Ordered steps from `observed` to `desired`; empty when they agree. Deletes only what `owner` marks as its own. */
export function plan(desired: DesiredState, observed: ObservedState, owner: Owner): Step[] {
  const links = planLinks(desired.links, observed.links, owner)
  const [reachable, present] = withoutDevices(desired, observed, links)
  const addresses = planAddresses(reachable.addresses, present, links.own)
  const routes = planRoutes(reachable.routes, present.routes, owner)
  const rules = planRules(desired.rules, observed.rules, owner)
  const fdb = planFdb(reachable.fdb, present.fdb, owner)
  const sysctls = planSysctls(reachable.sysctls, present.sysctls)
  const nft = planNft(desired.nft, observed.nft, owner)
  return [
    ...planIptables(desired.iptables, observed.iptables, owner),
    ...nft.replace,
    ...routes.release,
    ...links.replace,
    ...links.add,
    ...planWireguard(reachable.wireguard, present.wireguard),
    ...links.set,
    ...addresses.add,
    ...fdb.append,
    ...sysctls.early,
    ...routes.replace,
    ...rules.add,
    ...sysctls.forwarding,
    ...rules.del,
    ...routes.del,
    ...addresses.del,
    ...fdb.del,
    ...links.del,
    ...nft.del,
  ]
}

/**
 * Links of a desired name that somebody else made, or has still to make, one line each. They are left alone, and so is
 * everything that would hang on them; the rest of the plan goes on.
 */
export function conflicts(desired: DesiredState, observed: ObservedState, owner: Owner): string[] {
  const { foreign, awaited } = planLinks(desired.links, observed.links, owner)
  return [
    ...foreign.map((name) => `link ${name} exists and is not ours (its alias is not "${owner.alias}"): left alone`),
    ...awaited.map((name) => `link ${name} is not there yet: its daemon makes it`),
  ]
}

/** Takes out what hangs on foreign links, and from the observed state what goes with links that are made anew. */
function withoutDevices(
  desired: DesiredState,
  observed: ObservedState,
  links: { foreign: string[]; awaited: string[]; replaced: string[] },
): [DesiredState, ObservedState] {
  const foreign = new Set([...links.foreign, ...links.awaited])
  const replaced = new Set(links.replaced)
  const onOurs = { ...desired }
  if (foreign.size > 0) {
    const keep = (item: { dev: string }) => !foreign.has(item.dev)
    if (desired.addresses) onOurs.addresses = desired.addresses.filter(keep)
    if (desired.fdb) onOurs.fdb = desired.fdb.filter(keep)
    if (desired.routes) onOurs.routes = desired.routes.filter((route) => route.nexthops.every(keep))
    if (desired.wireguard) onOurs.wireguard = desired.wireguard.filter((device) => !foreign.has(device.name))
    if (desired.sysctls) onOurs.sysctls = withoutSysctls(desired.sysctls, foreign)
  }
  if (replaced.size === 0) return [onOurs, observed]
  const stays = (item: { dev: string }) => !replaced.has(item.dev)
  return [
    onOurs,
    {
      ...observed,
      addresses: observed.addresses.filter(stays),
      fdb: observed.fdb.filter(stays),
      routes: observed.routes.filter((route) => route.nexthops.every(stays)),
      sysctls: withoutSysctls(observed.sysctls, replaced),
      wireguard: observed.wireguard.filter((device) => !replaced.has(device.name)),
    },
  ]
}

/** Takes out the parameters that belong to one of the links. */
function withoutSysctls<T>(sysctls: Record<string, T>, links: ReadonlySet<string>): Record<string, T> {
  const parts = [...links].map((name) => new RegExp(`[./]${name}[./]`))
  return Object.fromEntries(Object.entries(sysctls).filter(([key]) => !parts.some((part) => part.test(key))))
}
