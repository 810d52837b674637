import type { IService } from 'kubernetes-models/v1'
import { httpPort } from './agent-container.ts'
import type { Deployment } from './deployment.ts'
import { selectorOf, type AgentKind } from './labels.ts'

/** Name of the workload that runs an agent, and of its Service. */
const workloadName: Record<AgentKind, string> = { gateway: 'gateway', router: 'router', node: 'node-agent' }

/**
 * A DNS name for each pod of a StatefulSet, as in `gateway-0.gateway`; for the DaemonSet, whose pods have their nodes'
 * addresses, a name with the addresses of all nodes.
 */
export function headlessService({ namespace }: Deployment, kind: AgentKind): IService {
  const selector = selectorOf(kind)
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: workloadName[kind], namespace, labels: selector },
    spec: {
      clusterIP: 'None',
      selector,
      // Whoever asks why a pod is not ready needs to find it; and a node whose agent is not ready still has pods.
      publishNotReadyAddresses: true,
      ports: [{ name: 'http', port: httpPort[kind], targetPort: 'http', protocol: 'TCP' }],
    },
  }
}
