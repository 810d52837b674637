import {
  listFdb,
  listIptables,
  listNftTable,
  readNetwork,
  readSysctl,
  showWireguard,
  type DesiredState,
  type Family,
  type NetworkObject,
  type ObservedState,
  type Owner,
  type Runner,
} from '@vpn-gateway/kernel'

/** Reads the kinds of objects that `desired` names, in as few processes as the tools allow. */
export async function observe(runner: Runner, desired: DesiredState, owner: Owner): Promise<ObservedState> {
  const [network4, network6, iptables, nft, wireguard, sysctls] = await Promise.all([
    readNetwork(runner, 4, objectsOf(desired)),
    readNetwork(runner, 6, objects6Of(desired)),
    gather(familiesOf(desired.iptables), (family) => listIptables(runner, family)),
    desired.nft === undefined ? [] : observeNft(runner, desired, owner),
    gather(desired.wireguard ?? [], async ({ name }) => {
      const device = await showWireguard(runner, name)
      return device === undefined ? [] : [device]
    }),
    observeSysctls(Object.keys(desired.sysctls ?? {})),
  ])
  // A forwarding database can be read only of a device that is there.
  const present = new Set(network4.links.map((link) => link.name))
  const fdb = await gather(
    desired.fdb === undefined ? [] : (owner.fdbDevices ?? []).filter((dev) => present.has(dev)),
    (dev) => listFdb(runner, dev),
  )
  return {
    links: network4.links,
    addresses: [...network4.addresses, ...network6.addresses],
    routes: [...network4.routes, ...network6.routes],
    rules: [...network4.rules, ...network6.rules],
    fdb,
    sysctls,
    iptables,
    nft,
    wireguard,
  }
}

function objectsOf(desired: DesiredState): NetworkObject[] {
  const objects: NetworkObject[] = []
  if (desired.links !== undefined) objects.push('link')
  if (desired.addresses !== undefined) objects.push('address')
  if (desired.routes !== undefined) objects.push('route')
  if (desired.rules !== undefined) objects.push('rule')
  return objects
}

/** Routes and rules of both families, so that what an earlier version left in the other one is found. */
function objects6Of(desired: DesiredState): NetworkObject[] {
  const objects = objectsOf(desired).filter((object) => object === 'route' || object === 'rule')
  return familiesOf(desired.addresses).includes(6) ? ['address', ...objects] : objects
}

function familiesOf(items: readonly { family: Family }[] | undefined): Family[] {
  return [...new Set((items ?? []).map((item) => item.family))]
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
