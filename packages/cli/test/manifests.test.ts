/** What is rendered: the same bytes each time, what deploy/ holds, what Kubernetes takes, and no privilege to spare. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseSystem } from '@vpn-gateway/config'
import { DaemonSet, StatefulSet } from 'kubernetes-models/apps/v1'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { ClusterRole, ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1'
import { ConfigMap, Namespace, Pod, Service, ServiceAccount, type IPodSpec } from 'kubernetes-models/v1'
import { parse, parseAllDocuments } from 'yaml'
import { deploymentOf } from '../src/deployment-of.ts'
import { manifests, renderFiles, renderMonitoring, renderStream, type Manifest } from '../src/manifests.ts'
import { run } from '../src/run.ts'

/** The example system file, and everything that is made from it. */
const deploy = new URL('../../../deploy/', import.meta.url).pathname
const example = readFileSync(join(deploy, 'vpn-gateway.yaml'), 'utf8')
const published = { base: 'vpn-gateway.yaml', 'overlays/single-gateway': 'overlays/single-gateway/vpn-gateway.yaml' }

function deploymentFrom(text: string) {
  return deploymentOf('system.yaml', { system: parseSystem(text, 'system.yaml'), text })
}

const deployment = deploymentFrom(example)
const all = Object.values(manifests(deployment)).flat()

function find(kind: string, name: string): Manifest {
  const found = all.find((item) => item.kind === kind && item.metadata?.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}

/** Pods of the workload that runs an agent. */
function podOf(kind: 'gateway' | 'router' | 'node'): IPodSpec {
  const workload = kind === 'node' ? find('DaemonSet', 'node-agent') : find('StatefulSet', kind)
  if (workload.kind !== 'DaemonSet' && workload.kind !== 'StatefulSet') throw new Error(workload.kind)
  const { spec } = workload.spec?.template ?? {}
  if (spec === undefined) throw new Error(`${kind}: no pod`)
  return spec
}

function filesIn(directory: string): Record<string, string> {
  const names = readdirSync(directory, { recursive: true }).map(String)
  return Object.fromEntries(
    names
      .filter((name) => name.endsWith('.yaml') && name !== 'vpn-gateway.yaml')
      .map((name) => [name, readFileSync(join(directory, name), 'utf8')]),
  )
}

test.each(Object.entries(published))('deploy/%s holds what is rendered from deploy/%s', (directory, file) => {
  // To write it: npm run vpn-gateway -- render deploy/FILE --output deploy/DIRECTORY
  expect(filesIn(join(deploy, directory))).toEqual(
    renderFiles(deploymentFrom(readFileSync(join(deploy, file), 'utf8'))),
  )
})

test('deploy/components/monitoring holds what is rendered', () => {
  // To write it: npm run vpn-gateway -- render deploy/vpn-gateway.yaml --monitoring --output deploy/components/monitoring
  expect(filesIn(join(deploy, 'components/monitoring'))).toEqual(renderMonitoring())
})

test('the same file gives the same bytes, and files and stream hold the same', () => {
  expect(renderFiles(deploymentFrom(example))).toEqual(renderFiles(deployment))
  const { 'kustomization.yaml': _kustomization, ...files } = renderFiles(deployment)
  expect(Object.values(files).join('---\n')).toBe(renderStream(deployment))
})

test('the kustomization names every other file', () => {
  const files = renderFiles(deployment)
  const { resources } = parse(files['kustomization.yaml'] ?? '') as { resources: string[] }
  expect(['kustomization.yaml', ...resources]).toEqual(Object.keys(files))
})

const models = {
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  DaemonSet,
  Namespace,
  NetworkPolicy,
  Pod,
  PodDisruptionBudget,
  Service,
  ServiceAccount,
  StatefulSet,
}

/** Reads YAML as a cluster would, and has each object of Kubernetes' own kinds judged by its schema. */
function readManifests(text: string): { kind: string; metadata: { name: string; namespace?: string } }[] {
  return parseAllDocuments(text, { version: '1.1' }).map((document) => {
    expect([...document.errors, ...document.warnings]).toEqual([])
    const value = document.toJS() as never
    expect(value).toMatchObject({ apiVersion: expect.any(String), kind: expect.any(String) })
    const { kind } = value as { kind: string }
    if (kind in models) new models[kind as keyof typeof models](value).validate()
    return value
  })
}

test.each(Object.values(published))('what %s renders is right by the schemas of Kubernetes', (file) => {
  const items = readManifests(renderStream(deploymentFrom(readFileSync(join(deploy, file), 'utf8'))))
  expect(items.map(({ metadata }) => metadata.name)).not.toContain(undefined)
  for (const { kind, metadata } of items)
    expect(metadata.namespace).toBe(kind === 'Namespace' ? undefined : 'vpn-gateway')
  const identities = items.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
  expect(new Set(identities).size).toBe(identities.length)
})

test('YAML reads back as the very objects, also by the older rules that Kubernetes goes by', () => {
  expect(readManifests(renderStream(deployment))).toEqual(all)
})

test('the ConfigMap holds the very system file', () => {
  expect(find('ConfigMap', 'system')).toMatchObject({ data: { 'vpn-gateway.yaml': example } })
})

test.each([
  ['gateway', ['NET_ADMIN']],
  ['router', ['NET_ADMIN', 'NET_RAW', 'SYS_NICE']],
  ['node', ['NET_ADMIN']],
] as const)('the %s agent has %j and nothing else', (kind, capabilities) => {
  const pod = podOf(kind)
  expect(pod.containers).toHaveLength(1)
  expect(pod.initContainers).toBeUndefined()
  expect(pod.containers[0]?.securityContext).toEqual({
    runAsUser: 0,
    runAsGroup: 0,
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], add: capabilities },
  })
  expect(pod.securityContext?.seccompProfile).toEqual({ type: 'RuntimeDefault' })
  expect(pod.automountServiceAccountToken).toBe(false)
  expect(pod.hostNetwork).toBe(kind === 'node' ? true : undefined)
  expect([pod.hostPID, pod.hostIPC]).toEqual([undefined, undefined])
  const hostPaths = pod.volumes?.flatMap(({ hostPath }) => (hostPath === undefined ? [] : [hostPath.path]))
  const linkManagers = ['/run/systemd/netif/links', '/run/NetworkManager/devices']
  expect(hostPaths).toEqual({ gateway: [], router: ['/lib/modules'], node: ['/lib/modules', ...linkManagers] }[kind])
  const writable = pod.containers[0]?.volumeMounts?.filter(({ readOnly }) => readOnly !== true)
  expect(writable).toEqual([{ name: 'run', mountPath: '/run/vpn-gateway' }])
})

test.each([
  ['gateway', 9801],
  ['router', 9802],
  ['node', 9803],
] as const)('the %s agent is asked for life and readiness on port %i', (kind, port) => {
  const [container] = podOf(kind).containers
  expect(container?.ports).toEqual([{ name: 'http', containerPort: port, protocol: 'TCP' }])
  expect(container?.livenessProbe?.httpGet).toEqual({ path: '/livez', port: 'http' })
  expect(container?.readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'http' })
})

test('every volume that is mounted is there, and every one that is there is mounted', () => {
  for (const kind of ['gateway', 'router', 'node'] as const) {
    const { volumes = [], containers } = podOf(kind)
    expect(containers[0]?.volumeMounts?.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name))
  }
})

test('pods name attachments that are rendered, in the order of the interfaces that their agents are told', () => {
  const networks = (name: string) => {
    const workload = find('StatefulSet', name) as { spec: { template: { metadata: { annotations: object } } } }
    return (workload.spec.template.metadata.annotations as Record<string, string>)['k8s.v1.cni.cncf.io/networks']
  }
  const attached = `${networks('gateway')},${networks('router')}`.split(',')
  expect(attached).toEqual(['gateway', 'router', 'router-sync'])
  for (const name of attached) expect(find('NetworkAttachmentDefinition', name)).toBeDefined()
  const args = podOf('router').containers[0]?.args ?? []
  expect(args.slice(-4)).toEqual(['--interface', 'net1', '--router-interface', 'net2'])
})

test('each gateway reads the file that is named after it', () => {
  const { containers, volumes } = podOf('gateway')
  expect(containers[0]?.args?.slice(-2)).toEqual(['--tunnel', '/etc/wireguard/$(NAME).conf'])
  expect(volumes?.at(-1)).toEqual({ name: 'tunnels', secret: { secretName: 'tunnels', defaultMode: 0o400 } })
})

test('a pod is given longer than its agent takes to drain and stop', () => {
  const drain = (seconds: number) =>
    renderStream(deploymentFrom(`${example}gateway: { drainSeconds: ${seconds} }\n`)).match(
      /terminationGracePeriodSeconds: \d+/g,
    )
  expect(drain(300)).toEqual([20, 320, 20].map((seconds) => `terminationGracePeriodSeconds: ${seconds}`))
  expect(drain(0.5)).toEqual([20, 21, 20].map((seconds) => `terminationGracePeriodSeconds: ${seconds}`))
})

test.each([
  [
    'StatefulSet',
    'gateway',
    { minReadySeconds: 5, updateStrategy: { type: 'RollingUpdate' } },
    /one at a time.* for 5 s/,
  ],
  [
    'StatefulSet',
    'router',
    { minReadySeconds: 30, updateStrategy: { type: 'RollingUpdate' } },
    /one at a time.* for 30 s/,
  ],
  [
    'DaemonSet',
    'node-agent',
    { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '20%' } } },
    /a fifth of the nodes at once.*no surge/,
  ],
])('%s %s is updated as it says that it is, and says why', (kind, name, spec, why) => {
  const workload = find(kind, name) as { metadata: { annotations: Record<string, string> }; spec: object }
  expect(workload.spec).toMatchObject(spec)
  expect(workload.metadata.annotations['kubernetes.io/description']).toMatch(why)
})

test('routers may ping, are two, and never on one node', () => {
  const { securityContext, affinity } = podOf('router')
  expect(securityContext?.sysctls).toEqual([{ name: 'net.ipv4.ping_group_range', value: '0 0' }])
  expect(affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution).toHaveLength(1)
  expect(find('StatefulSet', 'router')).toMatchObject({ spec: { replicas: 2 } })
})

test.each(['router', 'gateway'])(
  'nodes are emptied of one ready %s at a time; one that is not ready holds up nobody',
  (name) => {
    expect(find('PodDisruptionBudget', name)).toMatchObject({
      spec: { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
    })
  },
)

test.each(['gateway', 'router', 'node'] as const)(
  'the %s agent runs on Linux, whatever taints it tolerates',
  (kind) => {
    expect(podOf(kind).nodeSelector).toEqual({ 'kubernetes.io/os': 'linux' })
  },
)

test('a changed system file changes every pod template', () => {
  const digests = (text: string) => renderStream(deploymentFrom(text)).match(/system-file-sha256: \w+/g) ?? []
  expect(digests(example)).toHaveLength(3)
  expect(digests(`${example}# changed\n`)).not.toEqual(digests(example))
})

test('without forwarded ports a gateway may reach nothing in the cluster but DNS and the agents', () => {
  const [rule, ...others] = JSON.parse(
    JSON.stringify(
      manifests(deploymentFrom(example.slice(0, example.indexOf('forwards:'))))['network-policy.yaml']?.[0],
    ),
  ).spec.egress as object[]
  expect(rule).toEqual({ ports: [{ protocol: 'UDP' }, { protocol: 'TCP', port: 53 }] })
  expect(others).toEqual([
    {
      to: [{ podSelector: {} }, { ipBlock: { cidr: '10.0.0.0/8' } }],
      ports: [9801, 9802, 9803].map((port) => ({ protocol: 'TCP', port })),
    },
  ])
})

test.each([
  ['192.0.2.80:8090', [{ to: [{ ipBlock: { cidr: '192.0.2.80/32' } }], ports: [{ protocol: 'TCP', port: 8090 }] }]],
  ['hook.example.net', [{ ports: [{ protocol: 'TCP', port: 80 }] }]],
])('a hook at %s is one more rule', (host, expected) => {
  const egress = (text: string) =>
    (
      JSON.parse(JSON.stringify(manifests(deploymentFrom(text))['network-policy.yaml']?.[0])) as {
        spec: { egress: object[] }
      }
    ).spec.egress
  const hook = `gateway: { forwardsHook: http://${host}/ports }\n`
  expect(egress(example + hook)).toEqual([...egress(example), ...expected])
})

test('files of routers go when a system without them is rendered to the same directory; others stay', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-render-'))
  await writeFile(join(directory, 'own.yaml'), '')
  await run(['render', join(deploy, 'vpn-gateway.yaml'), '--output', directory])
  expect(Object.keys(filesIn(directory))).toContain('router.yaml')
  await run(['render', join(deploy, 'overlays/single-gateway/vpn-gateway.yaml'), '--output', directory])
  const { 'own.yaml': own, ...rest } = filesIn(directory)
  expect(own).toBe('')
  expect(rest).toEqual(filesIn(join(deploy, 'overlays/single-gateway')))
})

test('the examples fit the system: a known attachment, no capability, the address that a port is forwarded to', () => {
  const [client] = readManifests(readFileSync(join(deploy, 'examples/client-pod.yaml'), 'utf8'))
  const [service] = readManifests(readFileSync(join(deploy, 'examples/ingress-service.yaml'), 'utf8'))
  expect(client).toMatchObject({
    metadata: { annotations: { 'k8s.v1.cni.cncf.io/networks': 'vpn-gateway/client' } },
    spec: { containers: [{ securityContext: { capabilities: { drop: ['ALL'] } } }] },
  })
  const [forward] = deployment.system.forwards
  expect(service).toMatchObject({ spec: { clusterIP: forward?.to.address, ports: [{ port: forward?.to.port }] } })
})
