/**
 * Everything that the operator's guide tells to type, typed in its order, in a directory as a new user has it. The command
 * line's programs run for real. kubectl is the real one too: it builds and checks what it is told, and fails only where it
 * would ask a cluster, since there is none; what is asked of the cluster must be in the manifests that were rendered on the
 * way.
 */
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { toldBy, type Told } from '../src/guide.ts'
import type { KubernetesObject } from '../src/strict.ts'
import { tool } from '../src/tools.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const guide = await readFile(join(root, 'docs/operators-guide.md'), 'utf8')
const example = join(root, 'deploy/vpn-gateway.yaml')
const told = toldBy(guide)
let directory = ''
let kustomize = ''

beforeAll(async () => {
  kustomize = await tool('kustomize')
  directory = await mkdtemp(join(tmpdir(), 'guide-'))
  const bin = join(directory, 'bin')
  await mkdir(bin)
  await symlink(await tool('kubectl'), join(bin, 'kubectl'))
  for (const [name, main] of [
    ['vpn-gateway', 'packages/cli/src/main.ts'],
    ['node-agent', 'packages/node-agent/src/main.ts'],
  ] as const) {
    await writeFile(join(bin, name), `#!/bin/sh\nexec '${process.execPath}' '${join(root, main)}' "$@"\n`)
    await chmod(join(bin, name), 0o755)
  }
  // Nobody listens on port 1 (tcpmux).
  const cluster = { clusters: [{ name: 'none', cluster: { server: 'http://127.0.0.1:1' } }], 'current-context': 'none' }
  const context = { contexts: [{ name: 'none', context: { cluster: 'none', user: '' } }] }
  const kubeconfig = { apiVersion: 'v1', kind: 'Config', ...cluster, ...context }
  await writeFile(join(directory, 'kubeconfig'), JSON.stringify(kubeconfig))
  // What the guide says that a reader brings along.
  await copyFile(example, join(directory, 'vpn-gateway.yaml'))
  await mkdir(join(directory, 'tunnels'))
  const key = Buffer.alloc(32, 7).toString('base64')
  const interfaceOf = `[Interface]\nPrivateKey = ${key}\nAddress = 10.2.0.2/32\n`
  const peer = `[Peer]\nPublicKey = ${key}\nEndpoint = 198.51.100.1:51820\nAllowedIPs = 0.0.0.0/0\n`
  for (const name of ['gateway-0', 'gateway-1']) {
    await writeFile(join(directory, 'tunnels', `${name}.conf`), interfaceOf + peer)
  }
}, 300_000)

afterAll(() => rm(directory, { recursive: true, force: true }))

/** Runs a line as the reader's shell would, in the reader's directory. */
function typed(line: string) {
  const env = { PATH: `${join(directory, 'bin')}:${process.env['PATH']}`, KUBECONFIG: join(directory, 'kubeconfig') }
  return execa('sh', ['-c', line], { cwd: directory, env, reject: false, all: true })
}

interface Workload extends KubernetesObject {
  spec: {
    replicas?: number
    config?: string
    template?: { spec: { volumes?: { secret?: { secretName: string } }[]; containers: { args?: string[] }[] } }
  }
}

/** Objects of a directory as kustomize builds it. */
async function built(path: string): Promise<Workload[]> {
  const { stdout } = await execa(kustomize, ['build', join(directory, path)])
  return parseAllDocuments(stdout).map((document) => document.toJS() as Workload)
}

const named = (objects: readonly Workload[], kind: string, name: string) =>
  objects.find((object) => object.kind.toLowerCase() === kind && object.metadata.name === name)

/** What each of kubectl's commands needs to be there, with the words that follow. */
const needs: Record<string, (words: string[], namespace: string | undefined) => Promise<void>> = {
  async 'get crd'([name = '']) {
    const objects = parseAllDocuments(
      await readFile(join(root, 'deploy/base/network-attachments/gateway.yaml'), 'utf8'),
    ).map((document) => document.toJS() as Workload)
    const [attachment] = objects
    const [group] = attachment?.apiVersion.split('/') ?? []
    const { plugins } = JSON.parse(attachment?.spec.config ?? '') as { plugins: { ipam?: { type: string } }[] }
    const kind = attachment?.kind.replaceAll(/(?<=[a-z])[A-Z]/g, '-$&').toLowerCase()
    expect([`${kind}s.${group}`, `ippools.${plugins[0]?.ipam?.type}.cni.cncf.io`]).toContain(name)
  },
  async 'apply -f'([file = '']) {
    if (file === '-') return
    const objects = parseAllDocuments(await readFile(join(directory, file), 'utf8'))
    expect(objects.map((document) => (document.toJS() as Workload).kind)).toEqual(['Namespace'])
  },
  async 'apply -k'([path = '']) {
    expect((await built(path)).map(({ kind }) => kind)).toEqual(expect.arrayContaining(['DaemonSet', 'PrometheusRule']))
  },
  async 'delete -k'([path = '']) {
    expect((await built(path)).map(({ kind }) => kind)).toContain('DaemonSet')
  },
  async 'create secret'([type, name, from]) {
    const { template } = named(await built('manifests'), 'statefulset', 'gateway')?.spec ?? {}
    expect([type, from]).toEqual(['generic', '--from-file=tunnels'])
    expect(template?.spec.volumes?.map(({ secret }) => secret?.secretName)).toContain(name)
    // The Secret's keys are the files' names, and one is named after each pod.
    expect(template?.spec.containers[0]?.args?.at(-1)).toMatch(/\/\$\(NAME\)\.conf$/)
  },
  async 'rollout status'([what = '']) {
    const [kind = '', name = ''] = what.split('/')
    expect(named(await built('.'), kind, name)).toBeDefined()
  },
  async 'set env'([what = '', setting = '']) {
    const [kind = '', name = ''] = what.split('/')
    expect(named(await built('.'), kind, name)).toBeDefined()
    const { all } = await typed('node-agent --help')
    expect(all).toContain(setting.split('=')[0])
    expect(all).toContain(`--remove ${setting.split('=')[1]}|`)
  },
  async 'delete statefulset'(names) {
    const objects = await built('.')
    expect(names.filter((name) => named(objects, 'statefulset', name) === undefined)).toEqual([])
  },
  async exec([pod = '', dashes, ...command], namespace) {
    expect(dashes).toBe('--')
    if (namespace === undefined) {
      const client = parse(await readFile(join(root, 'deploy/examples/client-pod.yaml'), 'utf8')) as Workload
      expect([client.metadata.namespace, client.metadata.name]).toEqual(['default', pod])
      return
    }
    const [, name = '', ordinal = ''] = /^(.*)-(\d+)$/.exec(pod) ?? []
    expect(named(await built('manifests'), 'statefulset', name)?.spec.replicas).toBeGreaterThan(Number(ordinal))
    // Asked outside of a cluster it finds no agent, which is no mistake of the reader's.
    expect(await typed(`${command.join(' ')} --agent http://127.0.0.1:1`)).toMatchObject({ exitCode: 1 })
  },
  'describe pod': async () => undefined,
  version: async () => undefined,
  'get pods': async () => undefined,
  async 'get ippools.whereabouts.cni.cncf.io'() {
    await needs['get crd']?.(['ippools.whereabouts.cni.cncf.io'], undefined)
  },
  async 'delete pod'([pod = '']) {
    const [, name = '', ordinal = ''] = /^(.*)-(\d+)$/.exec(pod) ?? []
    expect(named(await built('manifests'), 'statefulset', name)?.spec.replicas).toBeGreaterThan(Number(ordinal))
  },
  async 'taint node'([name, taint = '']) {
    // Kubernetes knows this one taint by name; its effect is what has the pods go.
    expect([name, taint.split('=')[0], taint.split(':')[1]]).toEqual([
      'NODE',
      'node.kubernetes.io/out-of-service',
      'NoExecute',
    ])
  },
}

/** One command of kubectl: what it needs is there, and nothing but the cluster is what it lacks. */
async function kubectl(line: string): Promise<void> {
  for (const part of line.split(' | ')) {
    const words = part.split(' ').slice(1)
    const namespace = words[0] === '-n' ? words.splice(0, 2)[1] : undefined
    if (namespace !== undefined) expect(named(await built('manifests'), 'namespace', namespace)).toBeDefined()
    const verb = Object.keys(needs).find((each) => `${words.join(' ')} `.startsWith(`${each} `)) ?? ''
    expect(verb, `${part}: nothing here says what this command needs`).not.toBe('')
    await needs[verb]?.(words.slice(verb.split(' ').length), namespace)
  }
  const { all, exitCode } = await typed(line)
  expect([all, exitCode]).toEqual([expect.stringMatching(/127\.0\.0\.1:1\b.* (refused|was refused)/), 1])
  expect(all).not.toMatch(/unknown (command|flag|shorthand)|required|must |usage/i)
}

/** How each command and file of the guide is judged; the first that fits. */
const judges: { of: RegExp; judge: (item: Told) => Promise<void> }[] = [
  { of: /^kubectl /, judge: ({ text }) => kubectl(text) },
  {
    // It would read this machine's kernel: that the words are right shows by what is wrong then.
    of: /^(vpn-gateway plan|node-agent) /,
    async judge({ text }) {
      expect(text).toContain(' vpn-gateway.yaml')
      const { all, exitCode } = await typed(text.replace('vpn-gateway.yaml', 'absent.yaml'))
      expect([all.split('\n'), exitCode]).toEqual([[expect.stringMatching(/absent\.yaml: no such file/)], 2])
    },
  },
  {
    of: /^(vpn-gateway )?check --[a-z-]+$/,
    async judge({ text }) {
      expect((await typed('vpn-gateway check --help')).all).toContain(`${text.split(' ').at(-1)} `)
    },
  },
  {
    of: /^vpn-gateway (check|render) /,
    async judge({ text }) {
      const { all, exitCode } = await typed(text)
      expect([all, exitCode]).toEqual([expect.not.stringMatching(/warning/), 0])
    },
  },
  {
    of: /^npm run [a-z-]+( --)?$/,
    async judge({ text }) {
      const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object }
      expect(scripts).toHaveProperty([text.split(' ')[2] ?? ''])
    },
  },
  {
    // Of the node itself: which modules, shows by the parameters that the attachment sets.
    of: /^printf '[^']+' >\/etc\/modules-load\.d\/[a-z-]+\.conf && modprobe -a [a-z_ ]+$/,
    async judge({ text }) {
      const [written = '', loaded = ''] = text.split(' && modprobe -a ')
      const attachment = await readFile(join(root, 'deploy/base/network-attachments/router.yaml'), 'utf8')
      const modules = [
        ...(attachment.includes('net.ipv4.vs.') ? ['ip_vs'] : []),
        ...(attachment.includes('net.netfilter.nf_conntrack_') ? ['nf_conntrack'] : []),
      ]
      expect(loaded.trim().split(' ')).toEqual(modules)
      expect((await typed(written.slice(0, written.indexOf('>')))).stdout.split('\n')).toEqual(modules)
    },
  },
  {
    // Of the node itself: run in the kernel's tests.
    of: /^ip link /,
    async judge({ text }) {
      expect(await readFile(join(root, 'test/kernel/node-agent.test.ts'), 'utf8')).toContain(`'${text}'`)
    },
  },
  {
    // What an agent says.
    of: /^exists and is not ours$/,
    async judge({ text }) {
      expect(await readFile(join(root, 'packages/reconcile/src/plan.ts'), 'utf8')).toContain(text)
    },
  },
  {
    of: /^# kustomization\.yaml\n/,
    async judge({ text }) {
      await writeFile(join(directory, 'kustomization.yaml'), text)
      const images = JSON.stringify(await built('.')).match(/"image":"[^"]+"/g)
      expect(images).toHaveLength(3)
      expect(images?.filter((image) => !image.startsWith('"image":"registry.example.org/'))).toEqual([])
    },
  },
  {
    // For two programs of the node's: the links that they leave alone are those of the system file.
    of: /^# \/etc\/NetworkManager\//,
    async judge({ text }) {
      const { gatewayNetwork, routerNetwork } = parse(await readFile(example, 'utf8')) as Record<
        string,
        { bridge: string }
      >
      for (const pattern of [/interface-name:(.+)$/m, /^Name=(.+)$/m]) {
        const prefix = (pattern.exec(text)?.[1] ?? '').replace(/\*$/, '')
        expect(prefix).not.toBe('')
        for (const network of [gatewayNetwork, routerNetwork]) expect(network?.bridge.startsWith(prefix)).toBe(true)
      }
    },
  },
]

test('the guide tells of every program', () => {
  const first = new Set(told.map(({ text }) => text.split(/\s/)[0]))
  expect([...first]).toEqual(expect.arrayContaining(['kubectl', 'vpn-gateway', 'node-agent', 'npm', 'ip', 'printf']))
})

test.each(told)('line $line: $text', { timeout: 60_000 }, async (item) => {
  const fitting = judges.find(({ of }) => of.test(item.text))
  expect(fitting, `nothing here judges this: ${item.text}`).toBeDefined()
  await fitting?.judge(item)
})

test('the paths and metrics that it names are served by some agent', async () => {
  const sources = await Promise.all(
    ['gateway', 'router', 'node'].flatMap((agent) =>
      ['routes', 'metrics'].map((file) => readFile(join(root, `packages/${agent}-agent/src/${file}.ts`), 'utf8')),
    ),
  )
  const source = sources.join('\n')
  const paths = new Set(guide.match(/(?<=`)\/v1\/[a-z]+/g))
  expect(paths.size).toBeGreaterThan(2)
  expect([...paths].filter((path) => !source.includes(`${path}'`))).toEqual([])
  const metrics = new Set(guide.match(/(?<=`)vpn_gateway_[a-z_]+(?=`)/g))
  expect([...metrics].filter((metric) => !source.includes(`'${metric}'`))).toEqual([])
})
