/** A provider's NAT-PMP server: Debian's miniupnpd, which lends ports at the exit to whoever is in the tunnel. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Runner } from '@vpn-gateway/kernel'
import { LAB_DIR } from '../paths.ts'
import { endProcess, logPath, logTail, processId, startProcess } from '../pods/process.ts'
import { GivenUp, awaitCondition } from '../wait.ts'
import { runIn } from './namespace.ts'
import type { Provider } from './topology.ts'

/** It lends nothing for an address that is reserved for documentation, so it tells of one that is in nobody's use here. */
const toldAddress = '11.0.0.21'

const processOf = (provider: Provider): string => `${provider.name}-leases`
const fileOf = (provider: Provider, what: string): string => join(LAB_DIR, `${processOf(provider)}.${what}`)

/** The chains that miniupnpd(8) writes into, by the names that it has for them, and how packets come there. */
export const miniupnpdChains = `  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain forward { type filter hook forward priority 0; jump miniupnpd; }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }`

const tables = `add table inet leases
delete table inet leases
table inet leases {
${miniupnpdChains}
}
`

/** Starts a server that has forgotten all and lends no port below `lowest`; one that runs is ended first. */
export async function startLeaseServer(runner: Runner, provider: Provider, lowest: number): Promise<void> {
  await stopLeaseServer(runner, provider)
  const lines = [
    'ext_ifname=wan',
    `ext_ip=${toldAddress}`,
    'listening_ip=wg0',
    'enable_natpmp=yes',
    'enable_upnp=no',
    'ipv6_disable=yes',
    'secure_mode=yes',
    `lease_file=${fileOf(provider, 'held')}`,
    'upnp_table_name=leases',
    'upnp_nat_table_name=leases',
    `allow ${lowest}-65535 10.9.0.0/24 1024-65535`,
    'deny 0-65535 0.0.0.0/0 0-65535',
  ]
  await writeFile(fileOf(provider, 'conf'), `${lines.join('\n')}\n`)
  await runIn(runner, provider.name, ['nft', '-f', '-'], { stdin: tables })
  const name = processOf(provider)
  const argv = ['miniupnpd', '-d', '-f', fileOf(provider, 'conf'), '-P', fileOf(provider, 'pid')]
  startProcess({ name, namespace: provider.name, argv })
  await awaitCondition(
    `${name} to listen`,
    () => {
      if (processId(name) === undefined) throw new GivenUp(`${name} ended: ${logTail(name)}`)
      return logTail(name, 50).includes('Listening for NAT-PMP') || undefined
    },
    { timeoutMs: 20_000 },
  )
}

/** Ends the server; what it lent is open no more. Does nothing where none runs. */
export async function stopLeaseServer(runner: Runner, provider: Provider): Promise<void> {
  const name = processOf(provider)
  if (processId(name) === undefined) return
  await endProcess(name, 'SIGKILL', 10_000)
  await rm(fileOf(provider, 'held'), { force: true })
  // The next one says anew that it listens.
  await rm(logPath(name), { force: true })
  await runIn(runner, provider.name, ['nft', 'delete', 'table', 'inet', 'leases'])
}
