/** What a provider changes by itself: the endpoints that it has, and the ports that it lends. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { changeFile } from '../change-file.ts'
import { providerOf, type LabContext } from '../context.ts'
import { startLeaseServer, stopLeaseServer } from '../topology/lease-server.ts'
import { tunnelFile } from '../topology/provider.ts'

export interface ProviderFaults {
  /** The provider gives the gateway one more tunnel file, for the server's second address. */
  offerOtherEndpoint(gateway: string): Promise<void>
  withdrawOtherEndpoint(gateway: string): Promise<void>
  /** Changes the gateway's tunnel file, whole at once as a mounted secret is; resolves to what it held before. */
  changeTunnelFile(gateway: string, change: (text: string) => string): Promise<string>
  /** The provider lends ports by NAT-PMP, none below `lowest`; called again, it has forgotten all that it lent. */
  lendPorts(gateway: string, lowest: number): Promise<void>
  endLending(gateway: string): Promise<void>
}

/** Makes these faults of one lab. */
export function createProviderFaults({ runner, topology }: LabContext): ProviderFaults {
  const otherFile = (gateway: string): string => tunnelFile(`${gateway}.1`)
  return {
    async offerOtherEndpoint(gateway) {
      const { endpoint, otherEndpoint } = providerOf(topology, gateway)
      const text = await readFile(tunnelFile(gateway), 'utf8')
      await writeFile(otherFile(gateway), text.replaceAll(endpoint, otherEndpoint), { mode: 0o600 })
    },
    withdrawOtherEndpoint: (gateway) => rm(otherFile(gateway), { force: true }),
    changeTunnelFile: (gateway, change) => changeFile(tunnelFile(gateway), change),
    lendPorts: (gateway, lowest) => startLeaseServer(runner, providerOf(topology, gateway), lowest),
    endLending: (gateway) => stopLeaseServer(runner, providerOf(topology, gateway)),
  }
}
