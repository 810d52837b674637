/** Ways in which an active router goes, and how each is undone. */
import type { Lab } from '@vpn-gateway/lab'
import { awaitTakeover, pairOf, routersOf } from './awaiting.ts'
import type { FaultName } from './chaos/catalog.ts'
import { repairsItself, type Deed } from './chaos/deed.ts'
import { deeds } from './chaos/deeds.ts'

export interface RouterFailover {
  title: 'router cut off' | 'router killed' | 'router stopped' | 'rolling restart'
  /** What is done, in words. */
  how: string
  /** Does it to the active router; what it resolves to undoes it, once another router has taken over. */
  happen: (lab: Lab, active: string) => ReturnType<Deed>
}

const byDeed = (fault: FaultName) => (lab: Lab, active: string) => deeds[fault](lab, active, '')

export const routerFailovers: readonly RouterFailover[] = [
  {
    title: 'router cut off',
    how: 'the switch drops all from and to the active router: no goodbye, no lost carrier',
    happen: byDeed('router-cut'),
  },
  {
    title: 'router killed',
    how: 'all processes of the active router get SIGKILL',
    happen: byDeed('router-killed'),
  },
  {
    title: 'router stopped',
    how: 'all processes of the active router get SIGSTOP',
    happen: byDeed('router-stopped'),
  },
  {
    title: 'rolling restart',
    how: 'the standby, then the active router: SIGTERM, a new agent, ready',
    async happen(lab, active) {
      const { standby } = await pairOf(lab)
      await restart(lab, standby)
      await restart(lab, active)
      return repairsItself
    },
  },
]

/** Plays a failover until another router has taken over; what it resolves to undoes it, and waits for both routers. */
export async function failOver(lab: Lab, { happen }: RouterFailover, active: string): Promise<() => Promise<void>> {
  const undo = await happen(lab, active)
  await awaitTakeover(lab, active)
  return async () => {
    await undo()
    await awaitRoutersReady(lab)
  }
}

async function restart(lab: Lab, router: string): Promise<void> {
  await lab.agents.stop(router)
  lab.agents.start(router)
  await lab.agents.awaitReady(router)
}

/** Waits until every router is ready, which a standby is once it was told all flows, and one holds the VIP. */
export async function awaitRoutersReady(lab: Lab): Promise<void> {
  await Promise.all(routersOf(lab).map((name) => lab.agents.awaitReady(name)))
  await pairOf(lab)
}
