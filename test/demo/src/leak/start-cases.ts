/** Nothing is up yet, or not all of it. */
import { addressOf, awaitOut, awaitWeight, gatewaysOf, pairOf } from '../awaiting.ts'
import { bringUpOrder, orderCases } from './order-cases.ts'
import type { Case } from './stage.ts'
import { startAgents } from './starting.ts'

/** What is played before the lab is up, in this order: the last one leaves all agents ready. */
export const bringUpCases: readonly Case[] = [
  {
    name: 'before-agents',
    title: 'No agent has started',
    text: 'All pods are attached and forward, as their node does; no agent of them has run.',
    play: (stage) => stage.sending('no agent runs'),
  },
  bringUpOrder,
]

/** Gateways come and go, then all starts anew, in every order. */
export const startCases: readonly Case[] = [
  {
    name: 'no-gateway',
    title: 'No gateway is alive',
    text: 'All pods of gateways are deleted: routers have nobody to send to. New ones are attached and forward, as their node does; their agents start later.',
    async play(stage) {
      const { lab } = stage
      const addresses = await Promise.all(gatewaysOf(lab).map((name) => addressOf(lab, name)))
      await Promise.all(gatewaysOf(lab).map((name) => lab.faults.killGateway(name)))
      await stage.sending('the gateways are gone')
      await awaitOut(lab, ...addresses)
      await stage.sending('routers know that there is no gateway')
      for (const name of gatewaysOf(lab)) await lab.faults.attachGateway(name)
      await stage.renew()
      await stage.sending('new gateways have no agent yet')
      await startAgents(stage, gatewaysOf(lab))
    },
  },
  {
    name: 'gateway-replaced',
    title: 'A gateway is replaced faster than routers notice',
    text: 'The new pod has the old one’s address, forwards as its node does, and its agent has not run; routers’ health checkers are stopped, so that they go on sending to it.',
    async play(stage) {
      const { lab } = stage
      const [, victim = ''] = gatewaysOf(lab)
      const { active } = await pairOf(lab)
      lab.faults.signalRouter(active, 'SIGSTOP', ['checkers'])
      await lab.faults.killGateway(victim)
      await lab.faults.attachGateway(victim)
      await stage.renew()
      await stage.sending('routers take it for the one before')
      lab.faults.signalRouter(active, 'SIGCONT', ['checkers'])
      await lab.faults.reviveGateway(victim)
      await awaitWeight(lab, victim, (weight) => weight > 0)
    },
  },
  ...orderCases,
]
