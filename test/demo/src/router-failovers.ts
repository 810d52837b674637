/** Ways in which an active router goes, and how each is undone. */
import type { Lab } from '@vpn-gateway/lab'
import { pairOf, routersOf } from './awaiting.ts'

export interface RouterFailover {
  title: 'router cut off' | 'router killed' | 'router stopped' | 'rolling restart'
  /** What is done, in words. */
  how: string
  /** Does it to the active router. */
  happen(lab: Lab, active: string): Promise<unknown> | void
  /** Undoes it, once another router has taken over. */
  mend(lab: Lab, active: string): Promise<unknown> | void
}

export const routerFailovers: readonly RouterFailover[] = [
  {
    title: 'router cut off',
    how: 'the switch drops all from and to the active router: no goodbye, no lost carrier',
    happen: (lab, active) => lab.faults.cutRouter(active),
    mend: (lab, active) => lab.faults.healRouter(active),
  },
  {
    title: 'router killed',
    how: 'all processes of the active router get SIGKILL',
    async happen(lab, active) {
      lab.faults.signalRouter(active, 'SIGKILL')
      await lab.agents.kill(active)
    },
    mend: (lab, active) => lab.agents.start(active),
  },
  {
    title: 'router stopped',
    how: 'all processes of the active router get SIGSTOP',
    happen: (lab, active) => lab.faults.signalRouter(active, 'SIGSTOP'),
    mend: (lab, active) => lab.faults.signalRouter(active, 'SIGCONT'),
  },
  {
    title: 'rolling restart',
    how: 'the standby, then the active router: SIGTERM, a new agent, ready',
    async happen(lab, active) {
      const { standby } = await pairOf(lab)
      await restart(lab, standby)
      await restart(lab, active)
    },
    mend: () => undefined,
  },
]

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
