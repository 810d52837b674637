/** One router after the other, in several ways. */
import { routerProcesses } from '@vpn-gateway/lab'
import { awaitTakeover, pairOf } from '../awaiting.ts'
import type { FaultName } from '../chaos/catalog.ts'
import { deeds } from '../chaos/deeds.ts'
import type { Case, LeakStage } from './stage.ts'

type Words = Pick<Case, 'name' | 'title' | 'text'>

const nodeOf = ({ lab }: LeakStage, pod: string): string =>
  lab.topology.pods.find(({ name }) => name === pod)?.node ?? ''

/** A failover of one kind: what is done to the active router, or to its node, until it is undone. */
const failover = (words: Words, fault: FaultName, on: 'router' | 'node' = 'router'): Case => ({
  ...words,
  async play(stage) {
    const { lab } = stage
    const { active } = await pairOf(lab)
    const undo = await deeds[fault](lab, on === 'node' ? nodeOf(stage, active) : active, '')
    await awaitTakeover(lab, active)
    await stage.sending('the other router has taken over')
    await undo()
    await stage.sending('the router is back')
  },
})

/** Something is done to each process of the active router in turn, whichever router that is by then. */
const eachProcess = (words: Words, fault: FaultName): Case => ({
  ...words,
  async play(stage) {
    const { lab } = stage
    for (const process of routerProcesses) {
      const { active } = await pairOf(lab)
      const undo = await deeds[fault](lab, active, process)
      await stage.sending(`${fault}: ${process} of ${active}`)
      await undo()
      await lab.agents.awaitReady(active)
    }
    await stage.sending('all processes run again')
  },
})

export const routerCases: readonly Case[] = [
  failover(
    {
      name: 'router-cut',
      title: 'The active router is cut off, and comes back',
      text: 'Its switch ports drop everything: no goodbye, no lost carrier.',
    },
    'router-cut',
  ),
  failover(
    {
      name: 'router-killed',
      title: 'All processes of the active router are killed with -9',
      text: 'What they set stays in the pod: routes, rules, IPVS, and the VIP until its lifetime ends.',
    },
    'router-killed',
  ),
  failover(
    {
      name: 'router-frozen',
      title: 'All processes of the active router are stopped, as by SIGSTOP',
      text: 'It goes on later where it was.',
    },
    'router-stopped',
  ),
  failover(
    {
      name: 'router-restarted',
      title: 'The active router’s agent is told to end',
      text: 'SIGTERM: it hands the VIP over; then a new agent starts in the same pod.',
    },
    'router-restarted',
  ),
  {
    name: 'router-replaced',
    title: 'The active router’s pod is deleted and made anew',
    text: 'The new pod is attached and forwards, as its node does; its agent starts later.',
    async play(stage) {
      const { lab } = stage
      const { active } = await pairOf(lab)
      const revive = await deeds['router-deleted'](lab, active, '')
      await awaitTakeover(lab, active)
      await stage.sending('the other router has taken over')
      await lab.faults.attachRouter(active)
      await stage.renew()
      await stage.sending('the new router has no agent yet')
      await revive()
      await stage.sending('the router is back')
    },
  },
  eachProcess(
    {
      name: 'router-daemons-killed',
      title: 'Each process of the active router is killed with -9, one after the other',
      text: 'The agent starts its daemons again; somebody else the agent.',
    },
    'daemon-killed',
  ),
  eachProcess(
    {
      name: 'router-daemons-stopped',
      title: 'Each process of the active router is stopped, as by SIGSTOP, one after the other',
      text: 'The agent ends a daemon that is stuck; else it goes on where it was.',
    },
    'daemon-stopped',
  ),
  failover(
    {
      name: 'router-network-cut',
      title: 'The router network alone is cut',
      text: 'Both routers live and do not hear each other: both become active for a while.',
    },
    'router-network-cut',
  ),
  failover(
    {
      name: 'gateway-network-cut',
      title: 'The active router’s gateway network alone is cut',
      text: 'It is heard by the other router and sees no gateway: it steps back.',
    },
    'gateway-network-cut',
  ),
  failover(
    {
      name: 'node-cut',
      title: 'The nodes are cut apart',
      text: 'The underlay drops everything between them: each half has its own router, and gateways of its own.',
    },
    'node-cut',
    'node',
  ),
]
