import type { System } from '@vpn-gateway/config'
import { UserError } from '@vpn-gateway/config'
import { listFdb, listLinks, type Runner } from '@vpn-gateway/kernel'
import type { Log } from '@vpn-gateway/runtime'
import { isIP } from 'node:net'
import { floodMac, ownerOf } from './desired.ts'
import { createDnsPeers } from './dns-peers.ts'
import type { KubernetesApi } from './kubernetes-api.ts'
import { createKubernetesPeers } from './kubernetes-peers.ts'
import { configuredPeers, type PeerSource } from './peers.ts'

export interface PeerSourceParts {
  runner: Runner
  /** Undefined outside a cluster. */
  api: KubernetesApi | undefined
  /** Called when the peers are others than before. */
  onChange: () => void
  log: Pick<Log, 'info' | 'warn'>
}

/** The source that the system file asks for. Throws a `UserError` where the API is asked for and there is none. */
export async function createPeerSource(system: System, parts: PeerSourceParts): Promise<PeerSource> {
  const fixed = configuredPeers(system)
  if (fixed !== undefined) return fixed
  const { runner, api, onChange, log } = parts
  const { peers, ipFamily: family } = system.underlay
  if ('dns' in peers) {
    return createDnsPeers({ host: peers.dns, family, known: await heldPeers(runner, system), onChange, log })
  }
  if (api === undefined) {
    throw new UserError('underlay.peers.kubernetes: no API server: expected to run in a pod, or --api-server URL')
  }
  return createKubernetesPeers({ api, family, onChange, log })
}

/** Peers that the VXLAN links flood to now: those of an earlier process, as far as they could be peers by today's file. */
async function heldPeers(runner: Runner, system: System): Promise<string[]> {
  const names = new Set((await listLinks(runner)).map(({ name }) => name))
  const devices = (ownerOf(system).fdbDevices ?? []).filter((name) => names.has(name))
  const entries = (await Promise.all(devices.map((device) => listFdb(runner, device)))).flat()
  const held = entries.flatMap(({ mac, dst }) => (mac === floodMac && dst !== undefined ? [dst] : []))
  return [...new Set(held)].filter((address) => isUnicast(address, system.underlay.ipFamily)).sort()
}

/** A link that had a group, or the other IP version, is made anew, and its entries are nobody's peers. */
export function isUnicast(address: string, family: 4 | 6): boolean {
  if (isIP(address) !== family) return false
  return family === 6 ? !address.startsWith('ff') : Number(address.split('.')[0]) < 224
}
