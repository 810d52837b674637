/** A small model of the kernel: what each step does to the observed state. The property tests run plans against it. */
import type { ObservedState } from '@vpn-gateway/kernel'
import type { Step } from '@vpn-gateway/reconcile'

export function emptyState(): ObservedState {
  return { links: [], addresses: [], routes: [], rules: [], fdb: [], sysctls: {}, iptables: [], nft: [], wireguard: [] }
}

/** State after the step; throws where the real kernel would refuse it. */
export function applyToModel(state: ObservedState, step: Step): ObservedState {
  const next = structuredClone(state)
  switch (step.object) {
    case 'link':
      if (step.action === 'add') {
        if (next.links.some((link) => link.name === step.link.name)) throw new Error(`${step.link.name}: File exists`)
        const { master: _master, up: _up, takeOver: _takeOver, ...rest } = step.link
        next.links.push({ mtu: 1500, ...rest, up: false, carrier: false, alias: step.alias })
      } else if (step.action === 'del') {
        next.links = next.links.filter((link) => link.name !== step.name)
        next.addresses = next.addresses.filter((address) => address.dev !== step.name)
        next.fdb = next.fdb.filter((entry) => entry.dev !== step.name)
        next.wireguard = next.wireguard.filter((device) => device.name !== step.name)
        next.routes = next.routes.filter((route) => route.nexthops.every((hop) => hop.dev !== step.name))
        for (const link of next.links) if (link.master === step.name) delete link.master
      } else {
        const link = next.links.find((item) => item.name === step.name)
        if (link === undefined) throw new Error(`${step.name}: no such device`)
        if (step.change.master !== undefined && !next.links.some((item) => item.name === step.change.master)) {
          throw new Error(`${step.change.master}: no such bridge`)
        }
        Object.assign(link, step.change)
      }
      break
    case 'address':
      if (step.action === 'add') {
        if (!next.links.some((link) => link.name === step.dev)) throw new Error(`${step.dev}: no such device`)
        next.addresses.push({ dev: step.dev, address: step.address, family: step.address.includes(':') ? 6 : 4 })
      } else next.addresses = next.addresses.filter((a) => !(a.dev === step.dev && a.address === step.address))
      break
    case 'route': {
      const { family, table, dst, metric } = step.route
      next.routes = next.routes.filter(
        (r) => !(r.family === family && r.table === table && r.dst === dst && (r.metric ?? 0) === (metric ?? 0)),
      )
      if (step.action === 'replace') next.routes.push({ ...step.route, protocol: step.protocol })
      break
    }
    case 'rule':
      if (step.action === 'add') next.rules.push({ ...step.rule, protocol: step.protocol })
      else next.rules = next.rules.filter((rule) => JSON.stringify(rule) !== JSON.stringify(step.rule))
      break
    case 'fdb':
      if (step.action === 'append') next.fdb.push(step.entry)
      else
        next.fdb = next.fdb.filter(
          (e) => !(e.dev === step.entry.dev && e.mac === step.entry.mac && e.dst === step.entry.dst),
        )
      break
    case 'sysctl':
      next.sysctls[step.key] = step.value
      break
    case 'wireguard': {
      const { privateKey: _privateKey, peers, ...device } = step.device
      next.wireguard = next.wireguard.filter((item) => item.name !== device.name)
      next.wireguard.push({
        listenPort: 0,
        ...device,
        peers: peers.map((peer) => ({ ...peer, latestHandshake: 0, received: 0, sent: 0 })),
      })
      break
    }
    case 'nft':
      next.nft = next.nft.filter((table) => table.name !== step.table.name)
      if (step.action === 'replace') next.nft.push(step.table)
      break
    case 'iptables': {
      const { change } = step
      let table = next.iptables.find((item) => item.family === change.family && item.table === change.table)
      if (table === undefined) {
        table = { family: change.family, table: change.table, policies: {}, chains: {} }
        next.iptables.push(table)
      }
      Object.assign(table.policies, change.policies)
      for (const { chain, rule } of change.strayJumps) {
        const rules = table.chains[chain] ?? []
        const at = rules.indexOf(rule)
        if (at < 0) throw new Error(`${chain} ${rule}: does not exist`)
        rules.splice(at, 1)
      }
      Object.assign(table.chains, structuredClone(change.chains))
      for (const [chain, target] of Object.entries(change.jumps)) {
        table.chains[chain] = [`-j ${target}`, ...(table.chains[chain] ?? [])]
      }
      for (const chain of change.obsoleteChains) delete table.chains[chain]
      break
    }
  }
  return next
}
