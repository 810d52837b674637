/** What goes wrong in a cluster, on demand, each with its undo. All are safe to repeat. */
import type { Agents } from '../pods/agent-control.ts'
import { createPod, removePod } from '../pods/pod.ts'
import { podNamed } from '../context.ts'
import type { LabContext } from '../context.ts'
import { runIn } from '../topology/namespace.ts'
import type { Pod, PodKind } from '../topology/topology.ts'

export interface Faults {
  /** The gateway's pod dies without a word: processes killed, links gone, addresses free. */
  killGateway(name: string): Promise<void>
  /** A new pod in its place, at the same address; resolves once its agent is ready. */
  reviveGateway(name: string): Promise<void>
  /** Asks a gateway to drain: it goes on with the flows it has and is given no new ones. */
  drain(name: string): Promise<void>
  undrain(name: string): Promise<void>
  /** The switch drops every frame from and to a router, on both of its networks; no link goes down, nobody says goodbye. */
  cutRouter(name: string): Promise<void>
  healRouter(name: string): Promise<void>
  /** The same for one of a pod's interfaces, `net1` or `net2`. */
  cutInterface(pod: string, name: string): Promise<void>
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
  const cut = async (pod: Pod, which: (name: string) => boolean): Promise<void> => {
    const ports = portsOf(pod).filter(([name]) => which(name))
    if (ports.length === 0) throw new Error(`${pod.name}: no such interface`)
    await nft(pod, ports.map(([name, port]) => cutTable(tableName(pod, name), port)).join(''))
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

  return {
    killGateway: (name) => removePod(context, podOf(name, 'gateway')),
    async reviveGateway(name) {
      await createPod(context, podOf(name, 'gateway'))
      agents.start(name)
      await agents.awaitReady(name)
    },
    drain: (name) => tellDrain(name, 'PUT'),
    undrain: (name) => tellDrain(name, 'DELETE'),
    cutRouter: (name) => cut(podOf(name, 'router'), () => true),
    healRouter: (name) => heal(podOf(name, 'router'), () => true),
    cutInterface: (pod, wanted) => cut(podNamed(topology, pod), (name) => name === wanted),
    healInterface: (pod, wanted) => heal(podNamed(topology, pod), (name) => name === wanted),
  }
}

const tableName = (pod: Pod, name: string): string => `cut_${pod.name.replaceAll('-', '_')}_${name}`

/** `add` before `delete` makes the deletion of a table that may not exist no error (nft(8)). */
const removeTable = (name: string): string => `add table bridge ${name}\ndelete table bridge ${name}\n`

/** Drops at the port itself, so that the bridge does not even learn from the frames. */
const cutTable = (name: string, port: string): string => `${removeTable(name)}table bridge ${name} {
  chain in {
    type filter hook prerouting priority -350; policy accept;
    iifname "${port}" drop
  }
  chain out {
    type filter hook postrouting priority 350; policy accept;
    oifname "${port}" drop
  }
}
`
