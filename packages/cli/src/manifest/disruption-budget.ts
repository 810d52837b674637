import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1'
import type { Deployment } from './deployment.ts'
import { selectorOf, type AgentKind } from './labels.ts'

/**
 * Nodes that are emptied take one pod at a time: the next only when the last is back and ready. A pod that is not ready
 * itself may always go: with every provider down no router is ready, and none of their nodes could be emptied.
 */
export function disruptionBudget({ namespace }: Deployment, kind: Exclude<AgentKind, 'node'>): IPodDisruptionBudget {
  const selector = selectorOf(kind)
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: kind, namespace, labels: selector },
    spec: { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow', selector: { matchLabels: selector } },
  }
}
