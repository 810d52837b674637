import type { IStatefulSet } from 'kubernetes-models/apps/v1'
import { agentContainer, agentPod, kernelModules, stopSeconds } from './agent-container.ts'
import { systemFileAnnotation } from './config-map.ts'
import type { Deployment } from './deployment.ts'
import { descriptionOf } from './description.ts'
import { selectorOf } from './labels.ts'

/** One is active and one stands by with all of its flows. */
const routers = 2

/** The pair of routers. */
export function router(deployment: Deployment): IStatefulSet {
  const selector = selectorOf('router')
  const pod = agentPod('router', [kernelModules.volume])
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: {
      name: 'router',
      namespace: deployment.namespace,
      labels: selector,
      annotations: descriptionOf(deployment, 'router'),
    },
    spec: {
      serviceName: 'router',
      replicas: routers,
      selector: { matchLabels: selector },
      // The second must not wait for a first whose node is gone.
      podManagementPolicy: 'Parallel',
      // The attachment has IPVS say every flow in use again within ten seconds (sync_refresh_period): a router that
      // started knows them all before the other one is replaced.
      minReadySeconds: 30,
      updateStrategy: { type: 'RollingUpdate' },
      template: {
        metadata: {
          labels: selector,
          annotations: { 'k8s.v1.cni.cncf.io/networks': 'router,router-sync', ...systemFileAnnotation(deployment) },
        },
        spec: {
          ...pod,
          securityContext: {
            ...pod.securityContext,
            // keepalived pings the gateways' health addresses over ICMP datagram sockets, which the kernel keeps for the
            // groups in this range (icmp(7)). It is in Kubernetes' list of safe sysctls.
            sysctls: [{ name: 'net.ipv4.ping_group_range', value: '0 0' }],
          },
          // Two on one node would die together.
          affinity: {
            podAntiAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: [
                { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: selector } },
              ],
            },
          },
          terminationGracePeriodSeconds: stopSeconds + 5,
          containers: [
            agentContainer(deployment, {
              kind: 'router',
              // NET_RAW: VRRP is a raw socket; without it keepalived stays BACKUP for ever and says so in one line.
              // SYS_NICE: keepalived and conntrackd run under the real-time scheduler, and go on without it where it is
              // refused. On a busy node adverts would then leave late, and three late ones are a takeover.
              capabilities: ['NET_ADMIN', 'NET_RAW', 'SYS_NICE'],
              nameField: 'metadata.name',
              args: ['--interface', 'net1', '--router-interface', 'net2'],
              volumeMounts: [kernelModules.mount],
              requests: { cpu: '100m', memory: '128Mi' },
              // conntrackd keeps a copy of every flow of the kernel's table.
              memoryLimit: '512Mi',
            }),
          ],
        },
      },
    },
  }
}
