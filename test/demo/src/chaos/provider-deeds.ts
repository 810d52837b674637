/** Faults of a provider, and what changes there by itself: its silence, its endpoints, its files, the ports that it lends. */
import type { Lab } from '@vpn-gateway/lab'
import { awaitLease, awaitTunnel, endpointOf, endsAt } from '../awaiting.ts'
import { lentForward, withForward } from '../system-text.ts'
import type { FaultName } from './catalog.ts'
import { changeSystem, type Deed } from './deed.ts'

const silence =
  (where: 'endpoint' | 'tunnel'): Deed =>
  async ({ faults }, on) => {
    await faults.silenceProvider(on, where)
    return () => faults.unsilenceProvider(on)
  }

/** Milliseconds within which a gateway's tunnel has to have another endpoint, and to carry traffic again: emulated, hands are shaken more than once. */
const rotatedWithinMs = 120_000

/** Of a port lease: the first port that may be lent. */
const lowestPort = 1024

/** Another agent in the place of a gateway's, which reads what the first one would not read again. */
async function replaceAgent({ agents }: Lab, on: string): Promise<void> {
  await agents.kill(on)
  agents.start(on)
}

/** Gives a gateway the tunnel file with an endpoint while its agent runs, or while it does not; resolves once it is in use. */
async function changeTunnelFile(
  lab: Lab,
  on: string,
  agent: 'running' | 'dead',
  which: 'first' | 'other',
): Promise<void> {
  if (agent === 'dead') await lab.agents.kill(on)
  const [from, to] = [endpointOf(lab, on, which === 'other' ? 'first' : 'other'), endpointOf(lab, on, which)]
  await lab.faults.changeTunnelFile(on, (text) => text.replaceAll(from, to))
  if (agent === 'dead') lab.agents.start(on)
  await awaitTunnel(lab, on, endsAt(to), rotatedWithinMs)
}

type ProviderFault = Extract<
  FaultName,
  'endpoint-silent' | 'tunnel-silent' | 'endpoint-rotated' | 'tunnel-file-changed' | 'port-lease-changed'
>

export const providerDeeds: Record<ProviderFault, Deed> = {
  'endpoint-silent': silence('endpoint'),
  'tunnel-silent': silence('tunnel'),
  'endpoint-rotated': async (lab, on) => {
    const { faults, agents } = lab
    await faults.offerOtherEndpoint(on)
    await faults.silenceProvider(on, 'endpoint')
    await awaitTunnel(lab, on, endsAt(endpointOf(lab, on, 'other')), rotatedWithinMs)
    await agents.awaitReady(on, rotatedWithinMs)
    return async () => {
      await faults.unsilenceProvider(on)
      // The one in use is gone, so that the tunnel goes back to the first.
      await faults.withdrawOtherEndpoint(on)
    }
  },
  'tunnel-file-changed': async (lab, on, agent) => {
    const which = agent === 'dead' ? 'dead' : 'running'
    await changeTunnelFile(lab, on, which, 'other')
    return () => changeTunnelFile(lab, on, which, 'first')
  },
  'port-lease-changed': async (lab, on) => {
    const { faults } = lab
    await faults.lendPorts(on, lowestPort)
    const undo = await changeSystem(lab, (text) => withForward(text, lentForward))
    await replaceAgent(lab, on)
    const lent = await awaitLease(lab, on, lowestPort)
    // A server that has forgotten what it lent, and lends another one.
    await faults.lendPorts(on, lent + 1)
    await awaitLease(lab, on, lent + 1)
    return async () => {
      await faults.endLending(on)
      await undo()
      await replaceAgent(lab, on)
    }
  },
}
