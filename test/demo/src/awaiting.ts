/** What stories wait for. */
import { awaitCondition, type Lab } from '@vpn-gateway/lab'
import { hexadecimal, parseIpvs } from '@vpn-gateway/kernel'

/** Waits for a router to take the VIP over from another; resolves to its name. */
export function awaitTakeover(lab: Lab, from: string): Promise<string> {
  return awaitCondition(
    `a router other than ${from} to hold the VIP`,
    async () => (await lab.vipHolders()).find((name) => name !== from),
    { timeoutMs: 60_000, intervalMs: 50 },
  )
}

/** Address on the Internet that leaves through a gateway have. */
export function exitOf(lab: Lab, gateway: string): string {
  return lab.topology.providers.find((provider) => provider.gateway === gateway)?.exit ?? ''
}

/** One of the two addresses of a gateway's provider, to which its tunnel may lead. */
export function endpointOf({ topology }: Lab, gateway: string, which: 'first' | 'other'): string {
  const provider = topology.providers.find((each) => each.gateway === gateway)
  return (which === 'first' ? provider?.endpoint : provider?.otherEndpoint) ?? ''
}

/**
 * Waits until the active router resets what it does not know, and nothing else: one that has just become active is still
 * being told, one that has just got its gateways back still refuses all.
 */
export async function awaitSettled(lab: Lab): Promise<void> {
  await awaitCondition(
    'the active router to have settled',
    async () => {
      const router = await lab.activeRouter()
      if (router === undefined) return undefined
      const table = await lab.exec(router, ['nft', 'list', 'table', 'ip', 'vpn_gateway_orphans'])
      return table.includes('tcp reset') && !table.includes('chain early') ? true : undefined
    },
    { timeoutMs: 60_000, intervalMs: 500 },
  )
}

/** Flows that a router's IPVS knows: established ones, and all; UDP is never established. */
async function knownTo(lab: Lab, router: string): Promise<{ established: number; all: number }> {
  const services = parseIpvs(await lab.exec(router, ['cat', '/proc/net/ip_vs']))
  const servers = services.flatMap(({ realServers }) => realServers)
  const established = servers.reduce((sum, { activeConnections }) => sum + activeConnections, 0)
  return { established, all: servers.reduce((sum, { inactiveConnections }) => sum + inactiveConnections, established) }
}

/** Waits until the standby knows at least so many flows, and no fewer than the active router: IPVS tells within three seconds. */
export async function awaitKnown(lab: Lab, flows: number): Promise<void> {
  const { active, standby } = await pairOf(lab)
  await awaitCondition(
    `${standby} to know all flows of ${active}, ${flows} or more`,
    async () => {
      const [here, there] = [await knownTo(lab, active), await knownTo(lab, standby)]
      if (here.all >= flows && there.all >= flows && there.established >= here.established) return true
      throw new Error(JSON.stringify({ [active]: here, [standby]: there }))
    },
    { timeoutMs: 120_000, intervalMs: 500 },
  )
}

/** Address of a gateway on the gateway network; throws when its pod is gone. */
export async function addressOf(lab: Lab, gateway: string): Promise<string> {
  const text = await lab.exec(gateway, ['ip', '-4', '-o', 'address', 'show', 'dev', 'net1'])
  const address = /inet ([\d.]+)\/.* scope global/.exec(text)?.[1]
  if (address === undefined) throw new Error(`${gateway} has no address on net1`)
  return address
}

/** Gateways that get flows from the active router's IPVS, by address, with their weights; undefined without one active router. */
async function weights(lab: Lab): Promise<ReadonlyMap<string, number> | undefined> {
  const router = await lab.activeRouter()
  return router === undefined ? undefined : weightsOn(lab, router)
}

async function weightsOn(lab: Lab, router: string): Promise<ReadonlyMap<string, number>> {
  const services = parseIpvs(await lab.exec(router, ['cat', '/proc/net/ip_vs']))
  return new Map(services.flatMap(({ realServers }) => realServers.map(({ address, weight }) => [address, weight])))
}

/** Waits until a router's IPVS has every gateway with the usual weight of 100, and gives new flows to nobody else. */
export async function awaitAllInService(lab: Lab, router: string): Promise<void> {
  const addresses = await Promise.all(gatewaysOf(lab).map((name) => addressOf(lab, name)))
  const wanted = addresses.map((address) => `${address} 100`).toSorted()
  await awaitCondition(
    `${router} to have in service ${wanted.join(', ')}`,
    async () => {
      const served = [...(await weightsOn(lab, router))].filter(([, weight]) => weight > 0)
      const seen = served.map(([address, weight]) => `${address} ${weight}`).toSorted()
      if (seen.join() === wanted.join()) return true
      throw new Error(seen.join(', '))
    },
    { timeoutMs: 30_000, intervalMs: 500 },
  )
}

/** Waits until the active router's IPVS gives a gateway a weight that is wanted; a gateway that is not listed has none. */
export async function awaitWeight(lab: Lab, gateway: string, wanted: (weight: number) => boolean): Promise<void> {
  const address = await addressOf(lab, gateway)
  await awaitCondition(
    `${gateway} (${address}) to get another weight in IPVS`,
    async () => {
      const weight = (await weights(lab))?.get(address)
      return weight !== undefined && wanted(weight) ? true : undefined
    },
    { timeoutMs: 30_000, intervalMs: 250 },
  )
}

/**
 * Waits until the active router sends none of these addresses anything more; resolves to when, by performance.now(). The
 * shell that looks every 10 ms starts no programs: on a busy machine they would take longer than what is measured.
 */
export async function awaitOut(lab: Lab, ...addresses: string[]): Promise<number> {
  const listed = addresses.map(hexadecimal).join('|')
  const script = `exec 9<> <(:)
    for ((look = 0; look < 500; look++)); do
      mapfile -t lines </proc/net/ip_vs
      [[ "\${lines[*]}" =~ ${listed} ]] || { read -r uptime _ </proc/uptime; echo "$uptime"; break; }
      read -rt 0.01 -u 9
    done`
  const uptime = await awaitCondition(
    `${addresses.join(', ')} to be out of service`,
    async () => {
      const router = await lab.activeRouter()
      const text = router === undefined ? '' : await lab.exec(router, ['bash', '-c', script])
      return text === '' ? undefined : Number(text)
    },
    { timeoutMs: 60_000, intervalMs: 20 },
  )
  return performance.now() - (Number(process.hrtime.bigint()) / 1e6 - uptime * 1000)
}

/** Waits until a port is lent to a gateway that is at least `lowest`; resolves to it. */
export function awaitLease(lab: Lab, gateway: string, lowest: number): Promise<number> {
  return awaitCondition(
    `${gateway} to have a leased port from ${lowest} on`,
    async () => {
      const { body } = await lab.request(gateway, { port: 9801, path: '/v1/forwards' })
      const held = (JSON.parse(body) as { port?: number; lease?: object }[]).find(({ lease }) => lease !== undefined)
      if (held?.port !== undefined && held.port >= lowest) return held.port
      throw new Error(JSON.stringify(held))
    },
    { timeoutMs: 120_000 },
  )
}

/** What /v1/tunnel tells, as far as stories look at it. */
interface TunnelAnswer {
  mtu: number
  fileProblems: string[]
  peers: { endpoint?: string }[]
}

/** Waits until what a gateway tells of its tunnel is as wanted. */
export async function awaitTunnel(
  lab: Lab,
  gateway: string,
  wanted: (tunnel: TunnelAnswer) => boolean,
  timeoutMs: number,
): Promise<void> {
  await awaitCondition(
    `${gateway} to have another tunnel`,
    async () => {
      const { body } = await lab.request(gateway, { port: 9801, path: '/v1/tunnel' })
      if (wanted(JSON.parse(body) as TunnelAnswer)) return true
      throw new Error(body)
    },
    { timeoutMs, intervalMs: 250 },
  )
}

/** Whether a tunnel ends at an address. */
export const endsAt =
  (address: string) =>
  ({ peers }: Pick<TunnelAnswer, 'peers'>): boolean =>
    peers.some(({ endpoint }) => endpoint?.startsWith(`${address}:`))

/** Names of the routers. */
export const routersOf = (lab: Lab): string[] =>
  lab.topology.pods.filter(({ kind }) => kind === 'router').map(({ name }) => name)
/** Names of the gateways. */
export const gatewaysOf = (lab: Lab): string[] =>
  lab.topology.pods.filter(({ kind }) => kind === 'gateway').map(({ name }) => name)

/** Both routers, by what they are now. */
interface Pair {
  active: string
  standby: string
}

/** Waits for one router alone to hold the VIP. */
export async function pairOf(lab: Lab, timeoutMs = 30_000): Promise<Pair> {
  const active = await awaitCondition('one router to hold the VIP', () => lab.activeRouter(), { timeoutMs })
  const standby = routersOf(lab).find((name) => name !== active)
  if (standby === undefined) throw new Error('the lab has one router only')
  return { active, standby }
}
