/** A pod's life: what Kubernetes, its container runtime and its CNI do with one. */
import { rm } from 'node:fs/promises'
import type { AttachmentName } from '@vpn-gateway/config'
import type { LabContext } from '../context.ts'
import { LEASE_DIR, runDirectory } from '../paths.ts'
import { layPodCable } from '../topology/cables.ts'
import { CLUSTER } from '../topology/addresses.ts'
import { ipBatch, killProcessesIn, listNamespaces, namespacePath, processesIn, runIn } from '../topology/namespace.ts'
import type { Pod } from '../topology/topology.ts'
import { awaitCondition } from '../wait.ts'
import { attach, detach } from './cni.ts'
import type { PluginList } from './attachment.ts'

/** Attaches a pod to all of its networks, in their order. */
async function attachPod(context: LabContext, pod: Pod): Promise<void> {
  for (const { name, attachment } of pod.interfaces) {
    const at = { node: pod.node, pod: pod.name, interface: name }
    const attached = await attach(context.runner, pluginListOf(context, attachment), at, LEASE_DIR)
    context.state.attached[pod.name] = { ...context.state.attached[pod.name], [name]: attached }
  }
  await forwardAsNode(context, pod)
}

/**
 * As on a node of a cluster, which forwards, and whose pods begin with its settings: what comes in by one interface would
 * leave by another before any agent has run.
 */
async function forwardAsNode({ runner }: LabContext, pod: Pod): Promise<void> {
  await runIn(runner, pod.name, ['sysctl', '--quiet', '--write', 'net.ipv4.ip_forward=1'])
}

/**
 * Attaches all pods. Pods of one kind go one after the other, because an address is the lowest one that is free;
 * different kinds have different ranges.
 */
export async function attachPods(context: LabContext): Promise<void> {
  const kinds = Map.groupBy(context.topology.pods, ({ kind }) => kind)
  await Promise.all(
    [...kinds.values()].map(async (pods) => {
      for (const pod of pods) await attachPod(context, pod)
    }),
  )
  await context.save()
}

/**
 * The pod dies at once: its processes are killed and its links go, then its addresses are free again. Does nothing for
 * a pod that is gone. Resolves to when it could no longer send a packet, by performance.now().
 */
export async function removePod(context: LabContext, pod: Pod): Promise<number> {
  const { runner, state } = context
  let silentSince = performance.now()
  if (listNamespaces().includes(pod.name)) {
    killProcessesIn(pod.name)
    // A process that is being born while /proc is read escapes the first look.
    await awaitCondition(
      `the processes of ${pod.name} to be gone`,
      () => {
        if (processesIn(pod.name).length === 0) return true
        killProcessesIn(pod.name)
        return undefined
      },
      { timeoutMs: 10_000, intervalMs: 10 },
    )
    const ports = Object.values(state.attached[pod.name] ?? {}).map(({ port }) => port)
    // Deleting a namespace takes its links only when the kernel gets round to it; the pod's cables go now.
    await Promise.all([
      ipBatch(
        runner,
        pod.node,
        ports.map((port) => `link del ${port}`),
      ).catch(() => undefined),
      ipBatch(runner, CLUSTER, [`link del ${pod.name}`]).catch(() => undefined),
    ])
    silentSince = performance.now()
    await runner.run({ argv: ['ip', 'netns', 'del', pod.name] })
  }
  for (const { name, attachment } of pod.interfaces) {
    await detach(runner, pluginListOf(context, attachment), { node: pod.node, pod: pod.name, interface: name })
  }
  delete state.attached[pod.name]
  await rm(runDirectory(pod.name), { recursive: true, force: true })
  await context.save()
  return silentSince
}

/** A new pod in a removed one's place, attached but without its agent. Does nothing for a pod that is there. */
export async function createPod(context: LabContext, pod: Pod): Promise<void> {
  if (listNamespaces().includes(pod.name) && context.state.attached[pod.name] !== undefined) return
  await awaitCondition(
    `${namespacePath(pod.name)} to be gone`,
    () => !listNamespaces().includes(pod.name) || undefined,
    {
      timeoutMs: 5000,
    },
  )
  await layPodCable(context.runner, pod)
  await attachPod(context, pod)
  await context.save()
}

function pluginListOf(context: LabContext, attachment: AttachmentName): PluginList {
  const list = context.state.attachments[attachment]
  if (list === undefined) throw new Error(`no network attachment for ${attachment} pods`)
  return list
}
