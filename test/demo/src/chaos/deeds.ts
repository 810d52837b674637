/** How each fault of the list is done, and undone. */
import { setTimeout as delay } from 'node:timers/promises'
import { routerProcesses, type Flush, type Lab, type RouterProcess } from '@vpn-gateway/lab'
import { addressOf, gatewaysOf } from '../awaiting.ts'
import { withWeight } from '../system-text.ts'
import { gateways, type FaultName } from './catalog.ts'
import { changeSystem, repairsItself, type Deed } from './deed.ts'
import { providerDeeds } from './provider-deeds.ts'

/** Milliseconds that a flapping gateway is cut off, and is there, each time. */
const flapMs = 1000

/** Sends SIGCONT to each process, but for one that was found stuck and ended meanwhile. */
function goOn(lab: Lab, router: string, which: readonly RouterProcess[]): void {
  for (const process of which) {
    try {
      lab.faults.signalRouter(router, 'SIGCONT', [process])
    } catch {
      // No such process, or no file that names it: its supervisor is about to start another.
    }
  }
}

const cutInterface =
  (name: string): Deed =>
  async ({ faults }, on) => {
    await faults.cutInterface(on, name)
    return () => faults.healInterface(on, name)
  }

const loseFrames =
  (name: string): Deed =>
  async ({ faults }, on, percent) => {
    await faults.loseFrames(on, name, Number(percent))
    return () => faults.healInterface(on, name)
  }

const endAgent: Deed = async ({ agents }, on) => {
  await agents.kill(on)
  return () => agents.start(on)
}

/** Milliseconds of grace: a gateway would drain for as long as it has flows. */
const graceMs = 20_000

const restartAgent: Deed = async ({ agents }, on) => {
  // As kubelet ends a pod: SIGTERM, and SIGKILL once the grace is over. Any other agent has to end by itself.
  if (gateways.includes(on)) await agents.stop(on, { timeoutMs: graceMs }).catch(() => agents.kill(on))
  else await agents.stop(on)
  return () => agents.start(on)
}

/** Entries that connection tracking has room for where it has none: fewer than there are flows. */
const noRoom = 16

/** By the names of the list, so that the compiler knows of one that is missing. */
export const deeds: Record<FaultName, Deed> = {
  'router-cut': async ({ faults }, on) => {
    await faults.cutRouter(on)
    return () => faults.healRouter(on)
  },
  'router-killed': async ({ faults, agents }, on) => {
    faults.signalRouter(on, 'SIGKILL')
    await agents.kill(on)
    return () => agents.start(on)
  },
  'router-stopped': async (lab, on) => {
    lab.faults.signalRouter(on, 'SIGSTOP')
    return () => goOn(lab, on, routerProcesses)
  },
  'router-deleted': async ({ faults }, on) => {
    await faults.killRouter(on)
    return () => faults.reviveRouter(on)
  },
  'router-restarted': restartAgent,
  'daemon-killed': async (lab, on, process) => {
    if (process === 'agent') return endAgent(lab, on, process)
    lab.faults.signalRouter(on, 'SIGKILL', [process as RouterProcess])
    return repairsItself
  },
  'daemon-stopped': async (lab, on, process) => {
    const which = [process as RouterProcess]
    lab.faults.signalRouter(on, 'SIGSTOP', which)
    return () => goOn(lab, on, which)
  },
  'router-network-cut': cutInterface('net2'),
  'router-network-loss': loseFrames('net2'),
  'gateway-network-cut': cutInterface('net1'),
  'gateway-killed': async ({ faults }, on) => {
    await faults.killGateway(on)
    return () => faults.reviveGateway(on)
  },
  'gateway-cut': cutInterface('net1'),
  'gateway-flapping': async ({ faults }, on, times) => {
    for (let left = Number(times); left > 0; left -= 1) {
      await faults.cutInterface(on, 'net1')
      await delay(flapMs)
      await faults.healInterface(on, 'net1')
      await delay(flapMs)
    }
    return repairsItself
  },
  'gateway-loss': loseFrames('net1'),
  'gateway-drained': async ({ faults }, on) => {
    await faults.drain(on)
    return () => faults.undrain(on)
  },
  'agent-killed': endAgent,
  'agent-stopped': async ({ agents }, on) => {
    agents.signal(on, 'SIGSTOP')
    return () => void agents.signal(on, 'SIGCONT')
  },
  'agent-restarted': restartAgent,
  'tunnel-deleted': async ({ faults }, on) => {
    await faults.deleteTunnel(on)
    return repairsItself
  },
  ...providerDeeds,
  'rules-flushed': async ({ faults }, on, how) => {
    await faults.flushRules(on, how as Flush)
    return repairsItself
  },
  'routes-flushed': async ({ faults }, on) => {
    await faults.flushRoutes(on)
    return repairsItself
  },
  'system-file-changed': async (lab, on, weight) => {
    const address = await addressOf(lab, on)
    return changeSystem(lab, (text) => withWeight(text, address, Number(weight)))
  },
  'client-loss': loseFrames('net1'),
  'node-cut': async ({ faults }, on) => {
    await faults.cutNode(on)
    return () => faults.healNode(on)
  },
  'conntrack-full': async ({ faults }) => {
    const room = await faults.limitConntrack(noRoom)
    return async () => void (await faults.limitConntrack(room))
  },
  'all-gateways-cut': async (lab) => {
    const names = gatewaysOf(lab)
    await Promise.all(names.map((name) => lab.faults.cutInterface(name, 'net1')))
    return async () => void (await Promise.all(names.map((name) => lab.faults.healInterface(name, 'net1'))))
  },
}
