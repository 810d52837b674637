/** The system starts, in every order of its agents: each case is made of one. */
import type { Lab } from '@vpn-gateway/lab'
import { gatewaysOf, pairOf, routersOf } from '../awaiting.ts'
import type { Case, LeakStage } from './stage.ts'
import { startAgents, startUnready } from './starting.ts'

const kinds = ['nodes', 'gateways', 'routers'] as const
type Kind = (typeof kinds)[number]
type Order = readonly Kind[]

const members: Record<Kind, (lab: Lab) => string[]> = {
  nodes: ({ topology }) => topology.nodes.map(({ name }) => name),
  gateways: gatewaysOf,
  routers: routersOf,
}

const permutations = (of: Order): Order[] =>
  of.length === 0
    ? [[]]
    : of.flatMap((first) => permutations(of.filter((kind) => kind !== first)).map((rest) => [first, ...rest]))

/** No agent runs and the nodes are apart; routers and gateways are new pods, in which none has run. */
async function unstarted(stage: LeakStage): Promise<void> {
  const { lab } = stage
  const { agents, faults } = lab
  const [nodes, gateways, routers] = kinds.map((kind) => members[kind](lab)) as [string[], string[], string[]]
  const script = `ip -br link show type vxlan | while read -r name _; do ip link del "$name"; done`
  await Promise.all(
    nodes.map(async (name) => {
      await agents.kill(name)
      await lab.exec(name, ['bash', '-ec', script])
    }),
  )
  await Promise.all([
    ...gateways.map((name) => faults.killGateway(name)),
    ...routers.map((name) => faults.killRouter(name)),
  ])
  // One after the other, because an address is the lowest one that is free.
  for (const name of gateways) await faults.attachGateway(name)
  for (const name of routers) await faults.attachRouter(name)
  await stage.renew()
}

/** Starts one kind of agents after the other, each as ready as it gets without those that follow, then waits for all. */
async function startInOrder(stage: LeakStage, order: Order): Promise<void> {
  const { lab } = stage
  for (const kind of order) {
    const names = members[kind](lab)
    // A router is ready once it sees a gateway, others whatever there is of the rest.
    await (kind === 'routers' ? startUnready(stage, names) : startAgents(stage, names))
    await stage.sending(`agents of ${kind} have started`)
  }
  await startAgents(
    stage,
    order.flatMap((kind) => members[kind](lab)),
  )
  await pairOf(lab)
}

const caseOf = (order: Order, before: (stage: LeakStage) => Promise<void>): Case => ({
  name: `start-${order.join('-')}`,
  title: `Agents start: of ${order.join(', then of ')}`,
  text: 'All pods are attached and forward, as their node does; each kind is there for a while without the next.',
  async play(stage) {
    await before(stage)
    await startInOrder(stage, order)
  },
})

const [first = [], ...others] = permutations(kinds)

/** The order in which the lab comes up: the nodes' agents have started, for pods to be attached. */
export const bringUpOrder: Case = caseOf(first, async () => undefined)

/** All others, from new pods. */
export const orderCases: readonly Case[] = others.map((order) => caseOf(order, unstarted))
