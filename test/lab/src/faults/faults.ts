/** What goes wrong in a cluster, on demand, each with its undo. All are safe to repeat. */
import type { Agents } from '../pods/agent-control.ts'
import { createPod, removePod } from '../pods/pod.ts'
import { cutTable, removeTable } from './cut-table.ts'
import { createKernelFaults, type KernelFaults } from './kernel-faults.ts'
import { createNetworkFaults, type NetworkFaults } from './network-faults.ts'
import { createProviderFaults, type ProviderFaults } from './provider-faults.ts'
import { routerProcesses, routerProcessId, type RouterProcess } from './router-processes.ts'
import { createTrackingFaults, type TrackingFaults } from './tracking-faults.ts'
import { podNamed } from '../context.ts'
import type { LabContext } from '../context.ts'
import { runIn } from '../topology/namespace.ts'
import type { Pod, PodKind } from '../topology/topology.ts'

export interface Faults extends NetworkFaults, KernelFaults, ProviderFaults, TrackingFaults {
  /**
   * The gateway's pod dies without a word: processes killed, links gone, addresses free. Resolves to when it could no
   * longer send a packet, by performance.now().
   */
  killGateway(name: string): Promise<number>
  /** A new pod in its place, at the same address; resolves once its agent is ready. */
  reviveGateway(name: string): Promise<void>
  /** A new pod in its place that is attached, and whose agent has not started; `reviveGateway` starts it. */
  attachGateway(name: string): Promise<void>
  /** Asks a gateway to drain: it goes on with the flows it has and is given no new ones. */
  drain(name: string): Promise<void>
  undrain(name: string): Promise<void>
  /** The router's pod is deleted: no process, no link, no state of it is left. */
  killRouter(name: string): Promise<number>
  /** A new router pod in its place, at the same addresses; resolves once its agent is ready. */
  reviveRouter(name: string): Promise<void>
  /** A new router pod in its place that is attached, and whose agent has not started; `reviveRouter` starts it. */
  attachRouter(name: string): Promise<void>
  /** Sends a signal to processes of a router, all of them unless said, at once. */
  signalRouter(name: string, signal: NodeJS.Signals, which?: readonly RouterProcess[]): void
  /** The switch drops every frame from and to a router, on both of its networks; no link goes down, nobody says goodbye. */
  cutRouter(name: string): Promise<void>
  healRouter(name: string): Promise<void>
  /** The same for one of a pod's interfaces, `net1` or `net2`. */
  cutInterface(pod: string, name: string): Promise<void>
  /** The switch drops so many of a hundred frames, chosen at random, in each direction. */
  loseFrames(pod: string, name: string, percent: number): Promise<void>
  /** Ends a cut and a loss. */
  healInterface(pod: string, name: string): Promise<void>
}

/** Makes the faults of one lab. */
export function createFaults(context: LabContext, agents: Agents): Faults {
  const { runner, topology, state } = context
  const podOf = (name: string, kind: PodKind): Pod => {
    const pod = podNamed(topology, name)
    if (pod.kind !== kind) throw new Error(`${name} is a ${pod.kind}: expected a ${kind}`)
    return pod
  }
  const nft = async (pod: Pod, text: string): Promise<void> => {
    await runIn(runner, pod.node, ['nft', '-f', '-'], { stdin: text })
  }
  const portsOf = (pod: Pod): [string, string][] =>
    Object.entries(state.attached[pod.name] ?? {}).map(([name, { port }]) => [name, port])
  const cut = async (pod: Pod, which: (name: string) => boolean, percent?: number): Promise<void> => {
    const ports = portsOf(pod).filter(([name]) => which(name))
    if (ports.length === 0) throw new Error(`${pod.name}: no such interface`)
    await nft(pod, ports.map(([name, port]) => cutTable(tableName(pod, name), port, percent)).join(''))
  }
  const heal = async (pod: Pod, which: (name: string) => boolean): Promise<void> => {
    const names = pod.interfaces.map(({ name }) => name).filter(which)
    await nft(pod, names.map((name) => removeTable(tableName(pod, name))).join(''))
  }
  const tellDrain = async (name: string, method: 'PUT' | 'DELETE'): Promise<void> => {
    podOf(name, 'gateway')
    const { status, body } = await context.request(name, { method, port: 9801, path: '/v1/drain' })
    if (status < 200 || status > 299) throw new Error(`${method} /v1/drain on ${name}: HTTP status ${status} ${body}`)
  }

  const revive = async (pod: Pod): Promise<void> => {
    await createPod(context, pod)
    agents.start(pod.name)
    await agents.awaitReady(pod.name)
  }

  return {
    ...createNetworkFaults(context),
    ...createKernelFaults(context),
    ...createProviderFaults(context),
    ...createTrackingFaults(context),
    killGateway: (name) => removePod(context, podOf(name, 'gateway')),
    reviveGateway: (name) => revive(podOf(name, 'gateway')),
    attachGateway: (name) => createPod(context, podOf(name, 'gateway')),
    killRouter: (name) => removePod(context, podOf(name, 'router')),
    reviveRouter: (name) => revive(podOf(name, 'router')),
    attachRouter: (name) => createPod(context, podOf(name, 'router')),
    signalRouter(name, signal, which = routerProcesses) {
      podOf(name, 'router')
      const pids = which.map((each) => routerProcessId(name, each))
      for (const pid of pids) signalUnlessEnded(pid, signal)
    },
    drain: (name) => tellDrain(name, 'PUT'),
    undrain: (name) => tellDrain(name, 'DELETE'),
    cutRouter: (name) => cut(podOf(name, 'router'), () => true),
    healRouter: (name) => heal(podOf(name, 'router'), () => true),
    cutInterface: (pod, wanted) => cut(podNamed(topology, pod), (name) => name === wanted),
    loseFrames: (pod, wanted, percent) => cut(podNamed(topology, pod), (name) => name === wanted, percent),
    healInterface: (pod, wanted) => heal(podNamed(topology, pod), (name) => name === wanted),
  }
}

/** keepalived's children end by themselves when it is killed, which may be faster than the signal that is meant for them. */
function signalUnlessEnded(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

const tableName = (pod: Pod, name: string): string => `cut_${pod.name.replaceAll('-', '_')}_${name}`
