/** One router after the other, in several ways. */
import { awaitCondition } from '@vpn-gateway/lab'
import { pairOf } from '../awaiting.ts'
import type { Case, LeakStage } from './stage.ts'

/** Waits for a router other than this one to hold the VIP. */
async function takenOver({ lab }: LeakStage, from: string): Promise<void> {
  await awaitCondition(
    `a router other than ${from} to hold the VIP`,
    async () => (await lab.vipHolders()).find((name) => name !== from),
    { timeoutMs: 30_000, intervalMs: 50 },
  )
}

/** A failover of one kind: what is done to the active router, and how it is undone. */
const failover = (
  words: Pick<Case, 'name' | 'title' | 'text'>,
  act: (stage: LeakStage, active: string) => Promise<void>,
  undo: (stage: LeakStage, active: string) => Promise<void>,
): Case => ({
  ...words,
  async play(stage) {
    const { active } = await pairOf(stage.lab)
    await act(stage, active)
    await takenOver(stage, active)
    await stage.sending('the other router has taken over')
    await undo(stage, active)
    await stage.sending('the router is back')
  },
})

export const routerCases: readonly Case[] = [
  failover(
    {
      name: 'router-cut',
      title: 'The active router is cut off, and comes back',
      text: 'Its switch ports drop everything: no goodbye, no lost carrier.',
    },
    ({ lab }, active) => lab.faults.cutRouter(active),
    ({ lab }, active) => lab.faults.healRouter(active),
  ),
  failover(
    {
      name: 'router-killed',
      title: 'All processes of the active router are killed with -9',
      text: 'What they set stays in the pod: routes, rules, IPVS, and the VIP until its lifetime ends.',
    },
    async ({ lab }, active) => {
      lab.faults.signalRouter(active, 'SIGKILL')
      await lab.agents.kill(active)
    },
    async ({ lab }, active) => lab.agents.start(active),
  ),
  failover(
    {
      name: 'router-frozen',
      title: 'All processes of the active router are stopped, as by SIGSTOP',
      text: 'It goes on later where it was.',
    },
    async ({ lab }, active) => lab.faults.signalRouter(active, 'SIGSTOP'),
    async ({ lab }, active) => lab.faults.signalRouter(active, 'SIGCONT'),
  ),
  failover(
    {
      name: 'router-restarted',
      title: 'The active router’s agent is told to end',
      text: 'SIGTERM: it hands the VIP over; then a new agent starts in the same pod.',
    },
    ({ lab }, active) => lab.agents.stop(active),
    async ({ lab }, active) => lab.agents.start(active),
  ),
  failover(
    {
      name: 'router-replaced',
      title: 'The active router’s pod is deleted and made anew',
      text: 'The new pod is attached and forwards, as its node does; its agent starts later.',
    },
    async ({ lab }, active) => {
      await lab.faults.killRouter(active)
    },
    async (stage, active) => {
      await stage.lab.faults.attachRouter(active)
      await stage.renew()
      await stage.sending('the new router has no agent yet')
      await stage.lab.faults.reviveRouter(active)
    },
  ),
  failover(
    {
      name: 'router-network-cut',
      title: 'The router network alone is cut',
      text: 'Both routers live and do not hear each other: both become active for a while.',
    },
    ({ lab }, active) => lab.faults.cutInterface(active, 'net2'),
    ({ lab }, active) => lab.faults.healInterface(active, 'net2'),
  ),
]
