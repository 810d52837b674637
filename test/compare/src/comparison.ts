/** The comparison: the same flows and the same faults for each way, one after the other in one lab. */
import { setTimeout as delay } from 'node:timers/promises'
import { exitOf, pairOf, routersOf } from '@vpn-gateway/demo/awaiting'
import { awaitRoutersReady, failOver, routerFailovers } from '@vpn-gateway/demo/router-failovers'
import { bringUp, sumReports, takeDown, type FlowReport, type Flows, type Lab } from '@vpn-gateway/lab'
import { titleOfEvent, type Cost, type EventName, type WayResult } from './result.ts'
import { addressesOf, byHand, gateways, ownSteering, type Steering } from './steering.ts'

/**
 * Milliseconds between two lines of one flow, so that a thousand flows are as many lines a second as two hundred. One that
 * was moved to another gateway is reset at its next line.
 */
const intervalOf = (count: number) => Math.max(1000, 5 * count)
/** Milliseconds that an event is observed for, after all that the system does about it: a flow counts as silent after three lines. */
const observationOf = (interval: number) => Math.max(7000, 3 * interval + 2000)
const clients = ['client-0', 'client-1']

type Say = (text: string) => void

/** Flows under way, and how often each says something. */
interface Traffic {
  flows: readonly Flows[]
  /** Milliseconds. */
  interval: number
}

/** One event: what happens, and how it is undone before the next one. */
interface Happening {
  name: EventName
  /** The gateway that it is about, if it is about one. */
  gateway?: string
  happen: () => Promise<unknown>
  undo?: () => Promise<unknown>
}

/** What happens to gateways. `out` is told how long a dead one was still sent to, in milliseconds. */
function gatewayHappenings(lab: Lab, steering: Steering, out: (milliseconds: number) => void): Happening[] {
  const [draining, dying, silent] = gateways
  return [
    {
      name: 'dies',
      gateway: dying,
      async happen() {
        const silentSince = await lab.faults.killGateway(dying)
        out(Math.round((await steering.takeOut(dying)) - silentSince))
      },
    },
    {
      name: 'returns',
      async happen() {
        await lab.faults.reviveGateway(dying)
        await steering.putBack(dying)
      },
    },
    {
      name: 'silent',
      gateway: silent,
      async happen() {
        await lab.faults.silenceProvider(silent, 'tunnel')
        await steering.takeOut(silent)
      },
    },
    {
      name: 'heard',
      async happen() {
        await lab.faults.unsilenceProvider(silent)
        await lab.agents.awaitReady(silent)
        await steering.putBack(silent)
      },
    },
    { name: 'drains', gateway: draining, happen: () => steering.drain(draining) },
    { name: 'serves', happen: () => steering.undrain(draining) },
    { name: 'weighs', happen: () => steering.weigh(dying, 2), undo: () => steering.weigh(dying, 1) },
  ]
}

/** What happens to the active router, where another one can take over. */
function routerHappenings(lab: Lab): Happening[] {
  return routerFailovers.map((failover) => {
    let undo: (() => Promise<void>) | undefined
    return {
      name: failover.title,
      async happen() {
        undo = await failOver(lab, failover, (await pairOf(lab)).active)
      },
      undo: async () => undo?.(),
    }
  })
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
  const { perExit } = await settled(traffic)
  const result: WayResult = { way, spread: gateways.map((name) => perExit[exitOf(lab, name)] ?? 0), costs: {} }
  const ours = way === 'vpn-gateway'
  const happenings = gatewayHappenings(lab, steering, (milliseconds) => {
    if (ours) result.outAfterMs = milliseconds
  })
  if (ours) happenings.push(...routerHappenings(lab))
  for (const { name, gateway, happen, undo } of happenings) {
    const cost = await costOf(lab, traffic, gateway, happen)
    result.costs[name] = cost
    const own = gateway === undefined ? '' : `, ${cost.lost - cost.innocent} of its own ${cost.held}`
    say(`${way}: ${titleOfEvent(name)}: ${cost.lost} of ${cost.flows} lost${own}`)
    await undo?.()
  }
  await Promise.all(flows.map((each) => each.stop()))
  return result
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
  happen: () => Promise<unknown>,
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

/** Brings a lab up, counts what each fault costs of that many flows in each way, and takes the lab down. */
export async function compareWays(count: number, say: Say): Promise<WayResult[]> {
  say('bringing the lab up')
  const lab = await bringUp()
  try {
    await awaitRoutersReady(lab)
    const addresses = await addressesOf(lab)
    const results = [await measure(lab, ownSteering(lab, addresses), count, say)]
    say('ending the routers: from here on there are routes only')
    await Promise.all(routersOf(lab).map((name) => lab.agents.stop(name)))
    for (const way of ['ecmp', 'resilient'] as const)
      results.push(await measure(lab, await byHand(lab, way, addresses), count, say))
    return results
  } finally {
    lab.close()
    await takeDown()
  }
}
