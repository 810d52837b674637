import type { INamespace } from 'kubernetes-models/v1'
import type { Deployment } from './deployment.ts'
import { systemLabels } from './labels.ts'

export function namespace({ namespace: name }: Deployment): INamespace {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: {
        ...systemLabels,
        // NET_ADMIN and hostNetwork are outside the levels baseline and restricted of the Pod Security Standards.
        'pod-security.kubernetes.io/enforce': 'privileged',
      },
    },
  }
}
