/** What each way does about a gateway that goes, comes, or is to get more or less. */
import { addressOf, awaitOut, awaitWeight } from '@vpn-gateway/demo/awaiting'
import { withWeight } from '@vpn-gateway/demo/system-text'
import type { Lab } from '@vpn-gateway/lab'
import { openEcmpRouter } from './ecmp.ts'
import type { Way } from './result.ts'

/** The lab's gateways. */
export const gateways = ['gateway-0', 'gateway-1', 'gateway-2'] as const

/** Their addresses, which have to be known when they are gone. */
export type Addresses = ReadonlyMap<string, string>

export async function addressesOf(lab: Lab): Promise<Addresses> {
  return new Map(await Promise.all(gateways.map(async (name) => [name, await addressOf(lab, name)] as const)))
}

/** Each resolves when it is done. */
export interface Steering {
  way: Way
  /** A gateway carries nothing any more: takes it out of service. Resolves to when that was, by performance.now(). */
  takeOut(gateway: string): Promise<number>
  /** It carries again: puts it back. */
  putBack(gateway: string): Promise<void>
  drain(gateway: string): Promise<void>
  undrain(gateway: string): Promise<void>
  /** Gives a gateway that many times the weight of the others. */
  weigh(gateway: string, times: number): Promise<void>
}

/** The usual weight of the system file. */
const usualWeight = 100

/** vpn-gateway does all by itself; what is awaited is that it has done so. */
export function ownSteering(lab: Lab, addresses: Addresses): Steering {
  const serving = (name: string) => awaitWeight(lab, name, (weight) => weight > 0)
  return {
    way: 'vpn-gateway',
    takeOut: (name) => awaitOut(lab, addresses.get(name) ?? ''),
    putBack: serving,
    async drain(name) {
      await lab.faults.drain(name)
      await awaitWeight(lab, name, (weight) => weight === 0)
    },
    async undrain(name) {
      await lab.faults.undrain(name)
      await serving(name)
    },
    async weigh(name, times) {
      const wanted = usualWeight * times
      await lab.changeSystem((text) => withWeight(text, addresses.get(name) ?? '', wanted))
      await awaitWeight(lab, name, (weight) => weight === wanted)
    },
  }
}

/** Routes know nothing of gateways: whoever watches them takes a dead one out, at once, and puts it back when it is ready. */
export async function byHand(lab: Lab, way: Exclude<Way, 'vpn-gateway'>, addresses: Addresses): Promise<Steering> {
  const router = await openEcmpRouter(lab, 'router-0', way)
  const hops = (without?: string, weights: Record<string, number> = {}) =>
    gateways
      .filter((name) => name !== without)
      .map((name) => ({ address: addresses.get(name) ?? '', weight: weights[name] ?? 1 }))
  const all = () => router.use(hops())
  await all()
  return {
    way,
    async takeOut(name) {
      await router.use(hops(name))
      return performance.now()
    },
    putBack: all,
    drain: (name) => router.use(hops(name)),
    undrain: all,
    weigh: (name, times) => router.use(hops(undefined, { [name]: times })),
  }
}
