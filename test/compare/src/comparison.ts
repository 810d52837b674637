/** The comparison: the same flows and the same faults for each way, one after the other in one lab. */
import { setTimeout as delay } from 'node:timers/promises'
import { parseIpvs } from '@vpn-gateway/kernel'
import { awaitCondition, bringUp, sumReports, takeDown, type FlowReport, type Flows, type Lab } from '@vpn-gateway/lab'
import { openEcmpRouter } from './ecmp.ts'
import type { Cost, Way, WayResult } from './result.ts'

/**
 * Milliseconds between two lines of one flow, so that a thousand flows are as many lines a second as two hundred. One that
 * was moved to another gateway is reset at its next line.
 */
const intervalOf = (count: number) => Math.max(1000, 5 * count)
/** Milliseconds that an event is observed for, after all that the system does about it: a flow counts as silent after three lines. */
const observationOf = (interval: number) => Math.max(7000, 3 * interval + 2000)
const clients = ['client-0', 'client-1']
const gateways = ['gateway-0', 'gateway-1', 'gateway-2'] as const

type Say = (text: string) => void

/** What each way does about an event; each resolves when it is done. */
interface Steering {
  way: Way
  gatewayDied: (name: string) => Promise<void>
  gatewayReturned: (name: string) => Promise<void>
  drain: (name: string) => Promise<void>
  undrain: (name: string) => Promise<void>
}

/** Flows under way, and how often each says something. */
interface Traffic {
  flows: readonly Flows[]
  /** Milliseconds. */
  interval: number
}

async function measure(lab: Lab, steering: Steering, count: number, say: Say): Promise<WayResult> {
  const { way } = steering
  const interval = intervalOf(count)
  say(`${way}: opening ${count} flows`)
  const share = Math.ceil(count / clients.length)
  const flows = await Promise.all(
    clients.map((client, index) =>
      lab.startFlows({ client, count: Math.min(share, count - index * share), intervalMs: interval }),
    ),
  )
  const traffic = { flows, interval }
  const event = (title: string, gateway: string | undefined, happen: () => Promise<void>) =>
    costOf(lab, traffic, gateway, happen).then((cost) => {
      say(
        `${way}: ${title}: ${cost.lost} of ${cost.flows} lost${gateway === undefined ? '' : `, ${cost.held} were its own`}`,
      )
      return cost
    })
  const exits = gateways.map((name) => exitOf(lab, name))
  const { perExit } = await settled(traffic)
  let outAfterMs: number | undefined
  const result: WayResult = {
    way,
    spread: exits.map((exit) => perExit[exit] ?? 0),
    dies: await event('gateway-1 dies', 'gateway-1', async () => {
      const silentSince = await lab.faults.killGateway('gateway-1')
      await steering.gatewayDied('gateway-1')
      outAfterMs = Math.round(performance.now() - silentSince)
    }),
    returns: await event('gateway-1 comes back', undefined, async () => {
      await lab.faults.reviveGateway('gateway-1')
      await steering.gatewayReturned('gateway-1')
    }),
    drains: await event('gateway-0 drains', 'gateway-0', () => steering.drain('gateway-0')),
  }
  await steering.undrain('gateway-0')
  if (way !== 'vpn-gateway') {
    await Promise.all(flows.map((each) => each.stop()))
    return result
  }
  const active = await oneActive(lab)
  const routerCut = await event(`${active} is cut off`, undefined, () => lab.faults.cutRouter(active))
  await Promise.all(flows.map((each) => each.stop()))
  await lab.faults.healRouter(active)
  await oneActive(lab)
  return { ...result, routerCut, ...(outAfterMs === undefined ? {} : { outAfterMs }) }
}

const report = async (flows: readonly Flows[]): Promise<FlowReport> =>
  sumReports(await Promise.all(flows.map((each) => each.report())))

/** Opens what was lost before, and forgets it. */
async function settled({ flows, interval }: Traffic): Promise<FlowReport> {
  await Promise.all(flows.map((each) => each.refill()))
  await delay(2 * interval)
  await Promise.all(flows.map((each) => each.mark()))
  return report(flows)
}

async function costOf(
  lab: Lab,
  traffic: Traffic,
  gateway: string | undefined,
  happen: () => Promise<void>,
): Promise<Cost> {
  const before = await settled(traffic)
  const exit = gateway === undefined ? undefined : exitOf(lab, gateway)
  await happen()
  await delay(observationOf(traffic.interval))
  const after = await report(traffic.flows)
  return {
    flows: before.alive,
    lost: after.lost + after.stalled,
    innocent: after.resets.filter((reset) => reset.exit !== exit).length,
    held: exit === undefined ? 0 : (before.perExit[exit] ?? 0),
  }
}

function exitOf(lab: Lab, gateway: string): string {
  return lab.topology.providers.find((provider) => provider.gateway === gateway)?.exit ?? ''
}

async function addressOf(lab: Lab, gateway: string): Promise<string> {
  const text = await lab.exec(gateway, ['ip', '-4', '-o', 'address', 'show', 'dev', 'net1', 'scope', 'global'])
  return /inet ([\d.]+)\//.exec(text)?.[1] ?? ''
}

const oneActive = (lab: Lab): Promise<string> =>
  awaitCondition('one router to hold the VIP', () => lab.activeRouter(), { timeoutMs: 30_000 })

/** vpn-gateway does all by itself; what is awaited is that it has done so. */
function ownSteering(lab: Lab, addresses: ReadonlyMap<string, string>): Steering {
  const weight = (name: string, wanted: (weight: number | undefined) => boolean) =>
    awaitCondition(
      `${name} to have another weight`,
      async () => {
        const router = await lab.activeRouter()
        if (router === undefined) return undefined
        const servers = parseIpvs(await lab.exec(router, ['cat', '/proc/net/ip_vs'])).flatMap(
          (each) => each.realServers,
        )
        return wanted(servers.find(({ address }) => address === addresses.get(name))?.weight) ? true : undefined
      },
      { timeoutMs: 30_000, intervalMs: 20 },
    )
  return {
    way: 'vpn-gateway',
    async gatewayDied(name) {
      await weight(name, (now) => now === undefined)
    },
    async gatewayReturned(name) {
      await weight(name, (now) => now !== undefined && now > 0)
    },
    async drain(name) {
      await lab.faults.drain(name)
      await weight(name, (now) => now === 0)
    },
    async undrain(name) {
      await lab.faults.undrain(name)
      await weight(name, (now) => now !== undefined && now > 0)
    },
  }
}

/** Routes know nothing of gateways: a dead one is taken out by hand, at once, and put back when it is ready. */
async function byHand(lab: Lab, way: 'ecmp' | 'resilient', addresses: ReadonlyMap<string, string>): Promise<Steering> {
  const router = await openEcmpRouter(lab, 'router-0', way)
  const without = (name?: string) =>
    router.use(gateways.filter((each) => each !== name).map((each) => addresses.get(each) ?? ''))
  await without()
  return {
    way,
    gatewayDied: (name) => without(name),
    gatewayReturned: () => without(),
    drain: (name) => without(name),
    undrain: () => without(),
  }
}

/** Brings a lab up, counts what each fault costs of that many flows in each way, and takes the lab down. */
export async function compareWays(count: number, say: Say): Promise<WayResult[]> {
  say('bringing the lab up')
  const lab = await bringUp()
  try {
    const addresses = new Map<string, string>()
    for (const name of gateways) addresses.set(name, await addressOf(lab, name))
    await oneActive(lab)
    const results = [await measure(lab, ownSteering(lab, addresses), count, say)]
    say('ending the routers: from here on there are routes only')
    await Promise.all(['router-0', 'router-1'].map((name) => lab.agents.stop(name)))
    for (const way of ['ecmp', 'resilient'] as const)
      results.push(await measure(lab, await byHand(lab, way, addresses), count, say))
    return results
  } finally {
    lab.close()
    await takeDown()
  }
}
