import {
  listAddresses,
  listFdb,
  listIptables,
  listLinks,
  listNftTable,
  listRoutes,
  listRules,
  readSysctl,
  showWireguard,
  type DesiredState,
  type Family,
  type ObservedState,
  type Owner,
  type Runner,
} from '@vpn-gateway/kernel'

/** Reads the kinds of objects that `desired` names, and of those only the families, tables and devices it is about. */
export async function observe(runner: Runner, desired: DesiredState, owner: Owner): Promise<ObservedState> {
  const families = (items: readonly { family: Family }[] | undefined): Family[] =>
    items === undefined ? [] : [...new Set<Family>([4, ...items.map((item) => item.family)])]
  const [links, addresses, routes, rules, iptables, nft, wireguard, sysctls] = await Promise.all([
    desired.links === undefined ? [] : listLinks(runner),
    desired.addresses === undefined ? [] : listAddresses(runner),
    gather(families(desired.routes), (family) => listRoutes(runner, family)),
    gather(families(desired.rules), (family) => listRules(runner, family)),
    Promise.all((desired.iptables ?? []).map(({ family, table }) => listIptables(runner, family, table))),
    desired.nft === undefined ? [] : observeNft(runner, desired, owner),
    gather(desired.wireguard ?? [], async ({ name }) => {
      const device = await showWireguard(runner, name)
      return device === undefined ? [] : [device]
    }),
    observeSysctls(Object.keys(desired.sysctls ?? {})),
  ])
  // A forwarding database can be read only of a device that is there.
  const present = new Set(links.map((link) => link.name))
  const fdb = await gather(
    desired.fdb === undefined ? [] : (owner.fdbDevices ?? []).filter((dev) => present.has(dev)),
    (dev) => listFdb(runner, dev),
  )
  return { links, addresses, routes, rules, fdb, sysctls, iptables, nft, wireguard }
}

async function gather<T, R>(items: readonly T[], read: (item: T) => Promise<R[]>): Promise<R[]> {
  return (await Promise.all(items.map(read))).flat()
}

async function observeNft(runner: Runner, desired: DesiredState, owner: Owner): Promise<ObservedState['nft']> {
  const wanted = new Map((desired.nft ?? []).map((table) => [table.name, table.family]))
  const names = new Set([...wanted.keys(), ...owner.nftTables])
  return gather([...names], async (name) => {
    const table = await listNftTable(runner, wanted.get(name) ?? 'inet', name)
    return table === undefined ? [] : [table]
  })
}

async function observeSysctls(keys: readonly string[]): Promise<Record<string, string | undefined>> {
  const values = await Promise.all(keys.map(readSysctl))
  return Object.fromEntries(keys.map((key, index) => [key, values[index]]))
}
