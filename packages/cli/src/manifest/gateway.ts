import type { IStatefulSet } from 'kubernetes-models/apps/v1'
import { agentContainer, agentPod, stopSeconds } from './agent-container.ts'
import { systemFileAnnotation } from './config-map.ts'
import type { Deployment } from './deployment.ts'
import { descriptionOf } from './description.ts'
import { selectorOf } from './labels.ts'

/** Secret with a wg-quick file for each gateway: `gateway-0.conf`, `gateway-1.conf` and so on. */
const tunnelsSecret = 'tunnels'

const tunnelsDirectory = '/etc/wireguard'

/** One tunnel a pod; the pod's name picks its file. */
export function gateway(deployment: Deployment): IStatefulSet {
  const { namespace, system, gateways } = deployment
  const selector = selectorOf('gateway')
  // The agent reads its file again while it runs; a mount of the one file (subPath) would never change.
  const pod = agentPod('gateway', [{ name: 'tunnels', secret: { secretName: tunnelsSecret, defaultMode: 0o400 } }])
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'gateway', namespace, labels: selector, annotations: descriptionOf(deployment, 'gateway') },
    spec: {
      serviceName: 'gateway',
      replicas: gateways,
      selector: { matchLabels: selector },
      // A provider that is down must not keep the other gateways from starting. Updates still go one by one.
      podManagementPolicy: 'Parallel',
      // Routers have seen it answer, and send it new flows, before the next one drains.
      minReadySeconds: 5,
      updateStrategy: { type: 'RollingUpdate' },
      template: {
        metadata: {
          labels: selector,
          annotations: { 'k8s.v1.cni.cncf.io/networks': 'gateway', ...systemFileAnnotation(deployment) },
        },
        spec: {
          ...pod,
          securityContext: {
            ...pod.securityContext,
            // Probes by ICMP (tunnel.probe.targets) ping over datagram sockets, which the kernel keeps for the groups in this
            // range (icmp(7)). It is in Kubernetes' list of safe sysctls.
            sysctls: [{ name: 'net.ipv4.ping_group_range', value: '0 0' }],
          },
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels: selector },
            },
          ],
          // On SIGTERM it takes no new flows and waits for those it has.
          terminationGracePeriodSeconds: Math.ceil(system.gateway.drainSeconds) + stopSeconds + 5,
          containers: [
            agentContainer(deployment, {
              kind: 'gateway',
              capabilities: ['NET_ADMIN'],
              nameField: 'metadata.name',
              args: ['--interface', 'net1', '--primary', 'eth0', '--tunnel', `${tunnelsDirectory}/$(NAME).conf`],
              volumeMounts: [{ name: 'tunnels', mountPath: tunnelsDirectory, readOnly: true }],
              requests: { cpu: '50m', memory: '64Mi' },
              memoryLimit: '192Mi',
            }),
          ],
        },
      },
    },
  }
}
