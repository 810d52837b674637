import { createHash } from 'node:crypto'
import type { IConfigMap } from 'kubernetes-models/v1'
import type { Deployment } from './deployment.ts'
import { systemLabels } from './labels.ts'

/** Name of the ConfigMap, and of its only key. */
export const configMapName = 'system'
export const systemFileName = 'vpn-gateway.yaml'

/** The very system file that everything was rendered from. */
export function configMap({ namespace, text }: Deployment): IConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: configMapName, namespace, labels: systemLabels },
    data: { [systemFileName]: text },
  }
}

/** Agents read the file when they start: a pod template that names its digest makes a changed file a rolling update. */
export function systemFileAnnotation({ text }: Deployment): Record<string, string> {
  return { 'vpn-gateway/system-file-sha256': createHash('sha256').update(text).digest('hex') }
}
