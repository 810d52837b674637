/** Everything below deploy/, as kustomize builds it, and strictly by the schemas of Kubernetes. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { strictProblems, type KubernetesObject } from '../src/strict.ts'
import { tool } from '../src/tools.ts'

const deploy = fileURLToPath(new URL('../../../deploy', import.meta.url))
let kustomize = ''
let directory = ''

// Each starts kustomize and the compiler.
vi.setConfig({ testTimeout: 60_000 })

beforeAll(async () => {
  kustomize = await tool('kustomize')
  // kustomize takes other kustomizations by relative paths only.
  directory = await mkdtemp(join(fileURLToPath(new URL('..', import.meta.url)), '.overlay-'))
}, 300_000)

afterAll(() => rm(directory, { recursive: true, force: true }))

const objectsIn = (text: string): KubernetesObject[] =>
  parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject)

async function build(path: string): Promise<KubernetesObject[]> {
  return objectsIn((await execa(kustomize, ['build', path])).stdout)
}

/** What an operator would write: the base or an overlay, with components. */
async function overlay(resource: string, components: string[], more: object = {}): Promise<KubernetesObject[]> {
  const path = (name: string) => relative(directory, join(deploy, name))
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [path(resource)],
    components: components.map(path),
    ...more,
  }
  await writeFile(join(directory, 'kustomization.yaml'), stringify(kustomization))
  return build(directory)
}

test('every kustomization below deploy/ is one of those that are tested here', async () => {
  const found = (await readdir(deploy, { recursive: true }))
    .filter((name) => name.endsWith('kustomization.yaml'))
    .sort()
  expect(found).toEqual([
    'base/kustomization.yaml',
    'components/monitoring/kustomization.yaml',
    'components/own-tunnel-file/kustomization.yaml',
    'components/wireguard-go/kustomization.yaml',
    'overlays/single-gateway/kustomization.yaml',
  ])
})

test.each(['base', 'overlays/single-gateway'])(
  'deploy/%s builds, and has no key that Kubernetes does not know',
  async (name) => {
    const objects = await build(join(deploy, name))
    expect(objects.map(({ kind }) => kind)).toContain('DaemonSet')
    expect(await strictProblems(objects)).toEqual([])
  },
)

test.each([
  ['examples/client-pod.yaml', 'allowPrivilegeEscalation'],
  ['components/monitoring/pod-monitor.yaml', 'scrapeTimeout'],
  ['components/monitoring/rules.yaml', 'annotations'],
])('strict means strict: in %s a key %s that is misspelt is found', async (file, key) => {
  const [object] = objectsIn(await readFile(join(deploy, file), 'utf8'))
  const wrong = JSON.parse(JSON.stringify(object).replace(`"${key}":`, `"${key}s":`)) as KubernetesObject
  const [problem] = await strictProblems([wrong])
  expect(problem).toContain(`${key}s`)
})

test('the examples have no key that Kubernetes does not know', async () => {
  const names = await readdir(join(deploy, 'examples'))
  const texts = await Promise.all(names.map((name) => readFile(join(deploy, 'examples', name), 'utf8')))
  expect(await strictProblems(texts.flatMap(objectsIn))).toEqual([])
})

test.each(['base', 'overlays/single-gateway'])('monitoring joins %s', async (name) => {
  const objects = await overlay(name, ['components/monitoring'])
  const kinds = objects.map(({ kind }) => kind)
  expect(kinds).toEqual(expect.arrayContaining(['PodMonitor', 'PrometheusRule', 'DaemonSet']))
  expect(await strictProblems(objects)).toEqual([])
})

test('with own-tunnel-file a gateway pod sees one file of the Secret and nothing else of it', async () => {
  const objects = await overlay('base', ['components/own-tunnel-file'])
  expect(await strictProblems(objects)).toEqual([])
  const [container] = gatewayPod(objects).containers
  const mounts = container?.volumeMounts.filter(({ name }) => name === 'tunnels')
  const own = { name: 'tunnels', mountPath: '/etc/wireguard/own.conf', subPathExpr: '$(NAME).conf', readOnly: true }
  expect(mounts).toEqual([own])
  expect(container?.args.slice(-2)).toEqual(['--tunnel', own.mountPath])
})

test.each([
  ['base', []],
  ['overlays/single-gateway', []],
  ['base', ['components/own-tunnel-file', 'components/monitoring']],
])('deploy/%s with %j: no variable where Kubernetes puts no value for it', async (resource, components) => {
  const text = JSON.stringify(await overlay(resource, components))
  // Others than command, args, env and subPathExpr are taken literally (kubelet: ExpandContainerVolumeMounts).
  expect(text.match(/"(mountPath|path|image|name|value)":"[^"]*\$\([^"]*"/g)).toBeNull()
  expect(text).toContain('$(NAME)')
})

test.each(['base', 'overlays/single-gateway'])(
  'with wireguard-go, gateway pods of %s have a tun device',
  async (name) => {
    const [plain, objects] = [await overlay(name, []), await overlay(name, ['components/wireguard-go'])]
    expect(await strictProblems(objects)).toEqual([])
    const [before, pod] = [gatewayPod(plain), gatewayPod(objects)]
    const mounts = before.containers[0]?.volumeMounts
    expect(pod.volumes.toSorted(byName)).toEqual(
      [
        ...before.volumes,
        { name: 'tun', hostPath: { path: '/dev/net/tun', type: 'CharDevice' } },
        { name: 'wireguard', emptyDir: { sizeLimit: '1Mi' } },
      ].toSorted(byName),
    )
    expect(pod.containers[0]?.volumeMounts.toSorted(byName)).toEqual(
      [
        ...(mounts ?? []),
        { name: 'tun', mountPath: '/dev/net/tun' },
        { name: 'wireguard', mountPath: '/run/wireguard' },
      ].toSorted(byName),
    )
  },
)

interface PodSpec {
  containers: { image: string; args: string[]; volumeMounts: { name: string }[] }[]
  volumes: { name: string }[]
}

const byName = (a: { name: string }, b: { name: string }): number => a.name.localeCompare(b.name)

function gatewayPod(objects: KubernetesObject[]): PodSpec {
  const gateway = objects.find(({ kind, metadata }) => kind === 'StatefulSet' && metadata.name === 'gateway')
  return (gateway as unknown as { spec: { template: { spec: PodSpec } } }).spec.template.spec
}

test('images come from a registry by a kustomization of the operator', async () => {
  const images = ['gateway', 'router', 'node'].map((agent) => ({
    name: `vpn-gateway/${agent}-agent`,
    newName: `registry.example.org/vpn-gateway/${agent}-agent`,
  }))
  const text = JSON.stringify(await overlay('base', [], { images }))
  expect(text.match(/"image":"[^"]+"/g)?.every((image) => image.startsWith('"image":"registry.example.org/'))).toBe(
    true,
  )
})
