import type { IClusterRole, IClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1'
import type { IServiceAccount } from 'kubernetes-models/v1'
import type { Deployment } from './deployment.ts'
import { selectorOf, type AgentKind } from './labels.ts'

/**
 * An identity for each agent, without a role and without a token: none of them asks the Kubernetes API for anything, but
 * for node agents whose peers are the nodes of the cluster. They are there so that the default account, to which others may
 * have bound roles, is not used.
 */
export function serviceAccounts({ namespace, system }: Deployment): IServiceAccount[] {
  const kinds: AgentKind[] = system.routerNetwork === undefined ? ['gateway', 'node'] : ['gateway', 'node', 'router']
  return kinds.map((kind) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: accountOf(kind), namespace, labels: selectorOf(kind) },
    automountServiceAccountToken: false,
  }))
}

const accountOf = (kind: AgentKind) => `${kind}-agent`

/** What node agents may ask for where their peers are the nodes: nodes are no part of any namespace. */
export function nodeReader({ namespace, system }: Deployment): (IClusterRole | IClusterRoleBinding)[] {
  if (!('kubernetes' in system.underlay.peers)) return []
  const metadata = { name: `${namespace}-node-agent`, labels: selectorOf('node') }
  return [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata,
      rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['list', 'watch'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: accountOf('node'), namespace }],
    },
  ]
}
