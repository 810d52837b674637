import type { System } from '@vpn-gateway/config'
import type { IDaemonSet } from 'kubernetes-models/apps/v1'
import type { IPodSpec, IVolume, IVolumeMount } from 'kubernetes-models/v1'
import { agentContainer, agentPod, kernelModules, stopSeconds } from './agent-container.ts'
import { systemFileAnnotation } from './config-map.ts'
import type { Deployment } from './deployment.ts'
import { descriptionOf } from './description.ts'
import { selectorOf } from './labels.ts'

/** Modules are loaded by a program, which needs the capability that the agent has. */
const capabilitiesOf = ({ node }: System) =>
  node.loadModules ? (['NET_ADMIN', 'SYS_MODULE'] as const) : (['NET_ADMIN'] as const)

/** How the agent finds the other nodes: by a name of the cluster, by its API, or not by asking. */
function identity({ system }: Deployment): Pick<IPodSpec, 'dnsPolicy' | 'automountServiceAccountToken'> {
  const { peers } = system.underlay
  // A pod on the node's network has the node's name servers otherwise, which know no names of the cluster.
  if ('dns' in peers) return { dnsPolicy: 'ClusterFirstWithHostNet' }
  return { dnsPolicy: 'Default', ...('kubernetes' in peers ? { automountServiceAccountToken: true } : {}) }
}

/**
 * Where systemd-networkd and NetworkManager say which links they manage, so that one which takes the agent's is named. All
 * of /run would be sockets of other programs as well.
 */
const linkManagers = [
  { name: 'networkd', path: '/run/systemd/netif/links' },
  { name: 'network-manager', path: '/run/NetworkManager/devices' },
]

const managerVolumes = linkManagers.map(({ name, path }): IVolume => ({
  name,
  // A node seldom has both.
  hostPath: { path, type: 'DirectoryOrCreate' },
}))
const managerMounts = linkManagers.map(({ name, path }): IVolumeMount => ({ name, mountPath: path, readOnly: true }))

/** Makes the bridges and their VXLAN links on every node. */
export function nodeAgent(deployment: Deployment): IDaemonSet {
  const selector = selectorOf('node')
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: {
      name: 'node-agent',
      namespace: deployment.namespace,
      labels: selector,
      annotations: descriptionOf(deployment, 'node'),
    },
    spec: {
      selector: { matchLabels: selector },
      // No frame waits for an agent, so several nodes may be without one; a version that does not become ready stops there.
      // No surge: two agents of one node would want the same port of it, and take turns at its links.
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '20%' } },
      template: {
        metadata: { labels: selector, annotations: systemFileAnnotation(deployment) },
        spec: {
          ...agentPod('node', [kernelModules.volume, ...managerVolumes]),
          // The links belong to the node's own network namespace.
          hostNetwork: true,
          ...identity(deployment),
          // Client pods may be on any node, and cannot start on one that has no bridge.
          tolerations: [{ operator: 'Exists' }],
          priorityClassName: 'system-node-critical',
          terminationGracePeriodSeconds: stopSeconds + 5,
          containers: [
            agentContainer(deployment, {
              kind: 'node',
              capabilities: [...capabilitiesOf(deployment.system)],
              nameField: 'spec.nodeName',
              volumeMounts: [kernelModules.mount, ...managerMounts],
              requests: { cpu: '20m', memory: '64Mi' },
              memoryLimit: '192Mi',
            }),
          ],
        },
      },
    },
  }
}
