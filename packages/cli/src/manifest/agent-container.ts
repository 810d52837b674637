/** The container that every agent runs in, and the volumes that it needs. */
import type { IContainer, IPodSpec, IVolume, IVolumeMount } from 'kubernetes-models/v1'
import { configMapName, systemFileName } from './config-map.ts'
import type { Deployment } from './deployment.ts'
import type { AgentKind } from './labels.ts'

/** Where each agent serves HTTP; the images expose the same ports. */
export const httpPort: Record<AgentKind, number> = { gateway: 9801, router: 9802, node: 9803 }

type Capability = 'NET_ADMIN' | 'NET_RAW' | 'SYS_MODULE' | 'SYS_NICE'

const configDirectory = '/etc/vpn-gateway'
const runDirectory = '/run/vpn-gateway'

export interface AgentContainerOptions {
  kind: AgentKind
  /** All others are dropped. */
  capabilities: Capability[]
  /** Field that names this pod or node, as in `metadata.name`. */
  nameField: 'metadata.name' | 'spec.nodeName'
  /** Beyond those that every agent has; `$(NAME)` stands for its name. */
  args?: string[]
  volumeMounts?: IVolumeMount[]
  /** CPU and memory that the scheduler sets aside, and the memory that the pod may have at most. */
  requests: { cpu: string; memory: string }
  memoryLimit: string
}

export function agentContainer({ version }: Deployment, options: AgentContainerOptions): IContainer {
  const { kind, requests, memoryLimit } = options
  const probe = (path: string) => ({ httpGet: { path, port: 'http' }, timeoutSeconds: 3 })
  return {
    name: `${kind}-agent`,
    image: `vpn-gateway/${kind}-agent:${version}`,
    imagePullPolicy: 'IfNotPresent',
    args: [
      '--config',
      `${configDirectory}/${systemFileName}`,
      '--name',
      '$(NAME)',
      '--run-dir',
      runDirectory,
      ...(options.args ?? []),
    ],
    env: [{ name: 'NAME', valueFrom: { fieldRef: { fieldPath: options.nameField } } }],
    ports: [{ name: 'http', containerPort: httpPort[kind], protocol: 'TCP' }],
    // Liveness is the agent alone, never the tunnel or the other router: to start it again would mend neither.
    livenessProbe: { ...probe('/livez'), periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: { ...probe('/readyz'), periodSeconds: 2, failureThreshold: 2 },
    // No CPU limit: an agent out of its share would answer late, be taken for dead and be started again.
    resources: { requests, limits: { memory: memoryLimit } },
    securityContext: {
      // A process of another user loses what a container adds: Kubernetes sets no ambient capabilities.
      runAsUser: 0,
      runAsGroup: 0,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: [...options.capabilities] },
    },
    volumeMounts: [
      { name: 'system', mountPath: configDirectory, readOnly: true },
      { name: 'run', mountPath: runDirectory },
      ...(options.volumeMounts ?? []),
    ],
  }
}

/** What the container above needs around it. */
export function agentPod(
  kind: AgentKind,
  volumes: IVolume[] = [],
): Pick<
  IPodSpec,
  | 'serviceAccountName'
  | 'automountServiceAccountToken'
  | 'enableServiceLinks'
  | 'nodeSelector'
  | 'securityContext'
  | 'volumes'
> {
  return {
    serviceAccountName: `${kind}-agent`,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // The node agent tolerates every taint, also the one that keeps pods off Windows.
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
    volumes: [
      { name: 'system', configMap: { name: configMapName } },
      { name: 'run', emptyDir: { sizeLimit: '64Mi' } },
      ...volumes,
    ],
  }
}

/**
 * Which modules the kernel has built in stands nowhere else: without it, agents take a scheduler of IPVS that is built in
 * for missing.
 */
export const kernelModules = {
  volume: { name: 'modules', hostPath: { path: '/lib/modules' } },
  mount: { name: 'modules', mountPath: '/lib/modules', readOnly: true },
}

/** Seconds in which every agent stops once drained: ten to stop and five for what does not heed it. */
export const stopSeconds = 15
