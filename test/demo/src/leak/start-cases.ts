/** Nothing is up yet, or not all of it. */
import { addressOf, awaitOut, awaitWeight, gatewaysOf, pairOf, routersOf } from '../awaiting.ts'
import type { Case, LeakStage } from './stage.ts'

/** Starts agents and waits until all of them are ready, with clients that go on sending. */
async function startAgents({ lab }: LeakStage, names: readonly string[]): Promise<void> {
  for (const name of names) lab.agents.start(name)
  await Promise.all(names.map((name) => lab.agents.awaitReady(name)))
}

/** What is played before the lab is up, in this order: the last one leaves all agents ready. */
export const bringUpCases: readonly Case[] = [
  {
    name: 'before-agents',
    title: 'No agent has started',
    text: 'All pods are attached and forward, as their node does; no agent of them has run.',
    play: (stage) => stage.sending('no agent runs'),
  },
  {
    name: 'gateways-first',
    title: 'The gateways start, then the routers',
    text: 'For a while there are tunnels and nobody who leads to them.',
    async play(stage) {
      await startAgents(stage, gatewaysOf(stage.lab))
      await stage.sending('there are gateways and no routers')
      await startAgents(stage, routersOf(stage.lab))
      await pairOf(stage.lab)
      await stage.sending('all agents are ready')
    },
  },
]

/** Starts again from other ends. */
export const startCases: readonly Case[] = [
  {
    name: 'no-gateway',
    title: 'No gateway is alive',
    text: 'All pods of gateways are deleted: routers have nobody to send to.',
    async play(stage) {
      const { lab } = stage
      const addresses = await Promise.all(gatewaysOf(lab).map((name) => addressOf(lab, name)))
      await Promise.all(gatewaysOf(lab).map((name) => lab.faults.killGateway(name)))
      await stage.sending('the gateways are gone')
      await awaitOut(lab, ...addresses)
      await stage.sending('routers know that there is no gateway')
      for (const name of gatewaysOf(lab)) await lab.faults.attachGateway(name)
    },
  },
  {
    name: 'routers-first',
    title: 'The routers are there, then the gateways start',
    text: 'New pods of gateways are attached and forward, as their node does; their agents start later.',
    async play(stage) {
      const { lab } = stage
      await Promise.all(gatewaysOf(lab).map((name) => lab.faults.killGateway(name)))
      for (const name of gatewaysOf(lab)) await lab.faults.attachGateway(name)
      await stage.renew()
      await stage.sending('gateways have no agent yet')
      await startAgents(stage, gatewaysOf(lab))
      await stage.sending('all agents are ready')
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
  {
    name: 'node-agents-last',
    title: 'The node agents start last',
    text: 'They are killed and the nodes cut apart; routers and gateways start anew, each node by itself, then the node agents.',
    async play(stage) {
      const { lab } = stage
      const nodes = lab.topology.nodes.map(({ name }) => name)
      const pods = [...gatewaysOf(lab), ...routersOf(lab)]
      await Promise.all(nodes.map((name) => lab.agents.kill(name)))
      const script = `ip -br link show type vxlan | while read -r name _; do ip link del "$name"; done`
      await Promise.all(nodes.map((name) => lab.exec(name, ['bash', '-ec', script])))
      await Promise.all(pods.map((name) => lab.agents.kill(name)))
      await stage.sending('the nodes are apart and no agent runs')
      for (const name of pods) lab.agents.start(name)
      await stage.sending('the nodes are apart, agents start')
      await startAgents(stage, nodes)
      await stage.sending('all agents start')
    },
  },
]
