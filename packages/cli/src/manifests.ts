/** All manifests of a system, by the file that holds them. */
import type { IConfigMap, INamespace, IService, IServiceAccount } from 'kubernetes-models/v1'
import type { IDaemonSet, IStatefulSet } from 'kubernetes-models/apps/v1'
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1'
import type { IClusterRole, IClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1'
import { networkAttachments, type NetworkAttachment } from '@vpn-gateway/config'
import { stringify } from 'yaml'
import { configMap } from './manifest/config-map.ts'
import type { Deployment } from './manifest/deployment.ts'
import { disruptionBudget } from './manifest/disruption-budget.ts'
import { gateway } from './manifest/gateway.ts'
import { headlessService } from './manifest/headless-service.ts'
import { kustomization } from './manifest/kustomization.ts'
import { namespace } from './manifest/namespace.ts'
import { networkPolicies } from './manifest/network-policy.ts'
import { nodeAgent } from './manifest/node-agent.ts'
import { nodeReader, serviceAccounts } from './manifest/rbac.ts'
import { router } from './manifest/router.ts'
import { monitoring, type MonitoringManifest } from './monitoring/monitoring.ts'

export type Manifest =
  | IClusterRole
  | IClusterRoleBinding
  | IConfigMap
  | IDaemonSet
  | INamespace
  | INetworkPolicy
  | IPodDisruptionBudget
  | IService
  | IServiceAccount
  | IStatefulSet
  | NetworkAttachment

/** Manifests by file, relative to the directory that holds them, in the order in which they are to be applied. */
export function manifests(deployment: Deployment): Record<string, Manifest[]> {
  const { system } = deployment
  const attachments = networkAttachments(system).map((item) => [attachmentFile(item.metadata.name), [item]] as const)
  // Draining nodes would gain nothing from a budget for one pod: it is gone for a while either way.
  const gatewayBudget = deployment.gateways > 1 ? [disruptionBudget(deployment, 'gateway')] : []
  return {
    'namespace.yaml': [namespace(deployment)],
    'rbac.yaml': [...serviceAccounts(deployment), ...nodeReader(deployment)],
    ...Object.fromEntries(attachments),
    'config-map.yaml': [configMap(deployment)],
    'network-policy.yaml': networkPolicies(deployment),
    'node-agent.yaml': [headlessService(deployment, 'node'), nodeAgent(deployment)],
    'gateway.yaml': [headlessService(deployment, 'gateway'), gateway(deployment), ...gatewayBudget],
    ...(system.routerNetwork === undefined
      ? {}
      : {
          [routerFile]: [
            headlessService(deployment, 'router'),
            router(deployment),
            disruptionBudget(deployment, 'router'),
          ],
        }),
  }
}

const routerFile = 'router.yaml'
const attachmentFile = (name: string) => `network-attachments/${name}.yaml`

/** Files of a system with routers that one without does not have. */
export const routerFiles = [routerFile, attachmentFile('router'), attachmentFile('router-sync')]

/** Text of the files of the component that has the system watched, by name; the same bytes each time. */
export function renderMonitoring(): Record<string, string> {
  const files = Object.entries(monitoring())
  const component = {
    apiVersion: 'kustomize.config.k8s.io/v1alpha1',
    kind: 'Component',
    resources: files.map(([name]) => name),
  }
  return {
    'kustomization.yaml': `# Made by vpn-gateway render --monitoring.\n${yamlOf(component)}`,
    ...Object.fromEntries(files.map(([name, items]) => [name, stream(items)])),
  }
}

/** Text of every file, `kustomization.yaml` first; the same input gives the same bytes. */
export function renderFiles(deployment: Deployment): Record<string, string> {
  const files = Object.entries(manifests(deployment))
  return {
    'kustomization.yaml': `# Made by vpn-gateway render: change the system file, not these.\n${yamlOf(kustomization(files.map(([name]) => name)))}`,
    ...Object.fromEntries(files.map(([name, items]) => [name, stream(items)])),
  }
}

/** The manifests of a system, or those that have it watched, as one stream of YAML documents. */
export function renderStream(deployment: Deployment, part: 'system' | 'monitoring' = 'system'): string {
  return stream(Object.values(part === 'system' ? manifests(deployment) : monitoring()).flat())
}

function stream(items: readonly (Manifest | MonitoringManifest)[]): string {
  return items.map((item) => yamlOf(item)).join('---\n')
}

/** Parts that several manifests share are written out each time, not as YAML aliases. */
function yamlOf(item: object): string {
  return stringify(item, { lineWidth: 0, aliasDuplicateObjects: false })
}
