/** How the manifests in `deploy/` run each agent: read from the very YAML, so that a container here is one of theirs. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'

/** One agent's container and the pod around it; the parts of Kubernetes' types that a container runtime is told. */
export interface PodTemplate {
  hostNetwork?: boolean
  securityContext?: { seccompProfile?: { type: string }; sysctls?: { name: string; value: string }[] }
  volumes: Volume[]
  container: Container
}

interface Volume {
  name: string
  emptyDir?: object
  configMap?: { name: string }
  secret?: { secretName: string; defaultMode?: number }
  hostPath?: { path: string; type?: string }
}

interface Container {
  name: string
  image: string
  args: string[]
  env?: { name: string; value?: string; valueFrom?: { fieldRef?: { fieldPath: string } } }[]
  securityContext: {
    runAsUser?: number
    runAsGroup?: number
    privileged?: boolean
    allowPrivilegeEscalation?: boolean
    readOnlyRootFilesystem?: boolean
    capabilities?: { drop?: string[]; add?: string[] }
  }
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean; subPath?: string }[]
}

const files = { gateway: 'gateway.yaml', router: 'router.yaml', node: 'node-agent.yaml' } as const

interface Workload {
  kind: string
  spec: {
    template: { spec: Omit<PodTemplate, 'container'> & { containers: Container[]; initContainers?: Container[] } }
  }
}

/** The pod template of one agent in a directory of manifests. Throws when it has not exactly one container. */
export async function readPodTemplate(directory: string, kind: keyof typeof files): Promise<PodTemplate> {
  const path = join(directory, files[kind])
  const documents = parseAllDocuments(await readFile(path, 'utf8')).map((each) => each.toJS() as Workload)
  const workload = documents.find((each) => each.kind === 'StatefulSet' || each.kind === 'DaemonSet')
  const pod = workload?.spec.template.spec
  const [container, ...others] = [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])]
  if (pod === undefined || container === undefined || others.length > 0) {
    throw new Error(`${path}: expected a workload with one container`)
  }
  const { hostNetwork, securityContext, volumes } = pod
  return {
    ...(hostNetwork === undefined ? {} : { hostNetwork }),
    ...(securityContext === undefined ? {} : { securityContext }),
    volumes,
    container,
  }
}
