/** Brings a lab up and takes it down. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { loadSystem } from '@vpn-gateway/config'
import type { System } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import { parse } from 'yaml'
import { createContext, podNamed } from './context.ts'
import type { LabContext, LabState } from './context.ts'
import { createLab } from './lab.ts'
import type { Lab } from './lab.ts'
import { LAB_DIR, STATE_FILE, SYSTEM_FILE, programFlags, programPath, repositoryRoot, runDirectory } from './paths.ts'
import { attachmentsOf } from './pods/attachments.ts'
import { attachPods } from './pods/pod.ts'
import { logTail, processId, startProcess } from './pods/process.ts'
import {
  ANSWER,
  CLUSTER,
  INTERNET,
  echoPort,
  internetAddress,
  probePort,
  serviceAddress,
  servicePort,
  webPort,
} from './topology/addresses.ts'
import { layCables, namespacesOf } from './topology/cables.ts'
import { openCluster } from './topology/cluster.ts'
import { nameNodes, unnameNodes } from './topology/name.ts'
import { killProcessesIn, listNamespaces } from './topology/namespace.ts'
import { startProvider } from './topology/provider.ts'
import { meetRequirements } from './topology/requirement.ts'
import { topologyOf } from './topology/topology.ts'
import type { Variant } from './topology/topology.ts'
import { GivenUp, awaitCondition } from './wait.ts'

export interface BringUpOptions {
  /** `full` unless said. */
  variant?: Variant
  /** Directory that `npm run images -- --unpack` wrote: agents run as containers of these images. */
  images?: string
  /** System file; the variant's of `deploy/` unless said. */
  systemFile?: string
  /**
   * Called when all pods are attached and their agents could start. Agents that it has not started are started after it, and
   * all are awaited.
   */
  beforeAgents?: (lab: Lab) => Promise<void>
  /** Told of each step as it ends, with the milliseconds since the start. */
  onStep?: (step: string, elapsedMs: number) => void
}

/** What is published of each variant: the system file, and the directory with the manifests that are rendered from it. */
const published: Record<Variant, { systemFile: string; manifests: string }> = {
  full: { systemFile: 'deploy/vpn-gateway.yaml', manifests: 'deploy/base' },
  single: {
    systemFile: 'deploy/overlays/single-gateway/vpn-gateway.yaml',
    manifests: 'deploy/overlays/single-gateway',
  },
}

/** The system file that a variant runs with. */
export function defaultSystemFile(variant: Variant): string {
  return join(repositoryRoot(), published[variant].systemFile)
}

/** Directory of the manifests that go with a system file; undefined where none are published. */
function manifestsOf(variant: Variant, systemFile: string): string | undefined {
  return systemFile === defaultSystemFile(variant) ? join(repositoryRoot(), published[variant].manifests) : undefined
}

/** Brings the lab up from nothing (what is left of an earlier one goes first) and resolves once every agent is ready. */
export async function bringUp(options: BringUpOptions = {}): Promise<Lab> {
  const { variant = 'full', systemFile = defaultSystemFile(variant), images, beforeAgents, onStep } = options
  const started = performance.now()
  const step: Step = (text) => onStep?.(text, Math.round(performance.now() - started))
  const system = await loadSystem(systemFile)
  const manifests = manifestsOf(variant, systemFile)
  const attachments = await attachmentsOf(manifests ?? system)
  await meetRequirements(createRunner())
  await takeDown()
  const forwards = system.forwards.flatMap(({ protocol, port }) => (port === undefined ? [] : [{ protocol, port }]))
  const { vip } = system.gatewayNetwork
  const state: LabState = {
    variant,
    systemFile: SYSTEM_FILE,
    vip,
    vxlanPort: system.underlay.vxlanPort,
    forwards,
    ...(images === undefined ? {} : { images }),
    attachments,
    attached: {},
  }
  const context = createContext(state)
  await context.save()
  // A copy, which faults may change.
  await mkdir(dirname(SYSTEM_FILE), { recursive: true })
  await writeFile(SYSTEM_FILE, await systemText(systemFile, manifests))
  step('kernel modules and programs are there')
  try {
    return await build(context, system, step, beforeAgents)
  } catch (error) {
    context.close()
    throw error
  }
}

/** What the agents read: of a published system, the ConfigMap that goes with it. */
async function systemText(systemFile: string, manifests: string | undefined): Promise<string> {
  if (manifests === undefined) return readFile(systemFile, 'utf8')
  const text = await readFile(join(manifests, 'config-map.yaml'), 'utf8')
  const { data } = parse(text) as { data: Record<string, string> }
  return data[basename(systemFile)] ?? ''
}

type Step = (text: string) => void

async function build(
  context: LabContext,
  system: System,
  step: Step,
  beforeAgents: BringUpOptions['beforeAgents'],
): Promise<Lab> {
  const { runner, topology, state } = context
  await layCables(runner, topology)
  await nameNodes(topology, system)
  step(`${namespacesOf(topology).length} namespaces and their cables`)

  const nodeNames = topology.nodes.map(({ name }) => name)
  const lab = createLab(context)
  await makeRunDirectories(lab)
  // The node agents first: the pods wait for their bridges, and a program's start is what takes longest here.
  await Promise.all(nodeNames.map((name) => lab.agents.prepare(name)))
  for (const name of nodeNames) lab.agents.start(name)
  startServers()
  await Promise.all([
    openCluster(runner),
    ...topology.providers.map((provider) => startProvider(runner, provider, system.forwards)),
  ])
  step(`${topology.providers.length} VPN provider(s), cluster and Internet`)

  await Promise.all(nodeNames.map((name) => lab.agents.awaitReady(name)))
  step('node agents ready: bridges joined by VXLAN')

  await attachPods(context)
  step(`${topology.pods.length} pods attached by CNI`)

  const podAgents = lab.agents.names.filter((name) => !nodeNames.includes(name))
  await Promise.all(podAgents.map((name) => lab.agents.prepare(name)))
  await awaitServers(context)
  await beforeAgents?.(lab)
  // Routers last: without a gateway they look for one all the time, and keep an emulated machine from starting any.
  for (const kind of ['gateway', 'router'] as const) {
    const names = podAgents.filter((name) => podNamed(topology, name).kind === kind)
    for (const name of names) lab.agents.start(name)
    await Promise.all(names.map((name) => lab.agents.awaitReady(name)))
    if (names.length > 0) step(`${names.join(', ')} ready`)
  }
  if (topology.variant === 'full') {
    await awaitCondition('one router to hold the VIP', () => lab.activeRouter(), { timeoutMs: 20_000 })
    step(`${await lab.activeRouter()} holds the VIP ${state.vip}`)
  }
  return lab
}

async function makeRunDirectories({ agents }: Lab): Promise<void> {
  await Promise.all(agents.names.map((name) => mkdir(runDirectory(name), { recursive: true })))
}

const servers = [
  {
    name: ANSWER,
    namespace: INTERNET,
    address: internetAddress,
    port: webPort,
    // It stands for other hosts of the Internet too.
    bind: '0.0.0.0',
    listeners: [`tcp/${echoPort}`, `udp/${echoPort}`, `tcp/${webPort}`, `tcp/${probePort}`],
  },
  {
    name: 'cluster-answer',
    namespace: CLUSTER,
    address: serviceAddress,
    port: servicePort,
    bind: serviceAddress,
    listeners: [`tcp/${servicePort}`, `udp/${servicePort}`],
  },
]

function startServers(): void {
  for (const { name, namespace, bind, listeners } of servers) {
    const argv = [process.execPath, ...programFlags, programPath('lab-answer'), bind, ...listeners]
    startProcess({ name, namespace, argv })
  }
}

async function awaitServers({ request }: LabContext): Promise<void> {
  await Promise.all(
    servers.map(({ name, namespace, address, port }) =>
      awaitCondition(
        `${name} to answer`,
        async () => {
          if (processId(name) === undefined) throw new GivenUp(`${name} ended: ${logTail(name)}`)
          const { status } = await request(namespace, { host: address, port, path: '/' })
          return status === 200 ? true : undefined
        },
        { timeoutMs: 30_000 },
      ),
    ),
  )
}

/** Ends every process in the lab's namespaces and deletes them; does nothing where there is no lab. */
export async function takeDown(): Promise<void> {
  const runner = createRunner()
  const names = new Set([...namespacesOf(topologyOf('full')), ...namespacesOf(topologyOf('single'))])
  const present = listNamespaces().filter((name) => names.has(name))
  // Only what the lab made: a machine may have namespaces of these names for its own purposes.
  if (present.length > 0 && !existsSync(STATE_FILE)) {
    throw new Error(`namespaces ${present.join(', ')} exist, but not by this lab: delete them or rename them`)
  }
  for (const name of present) killProcessesIn(name)
  if (present.length > 0) {
    await runner.run({
      argv: ['ip', '-batch', '-'],
      stdin: present.map((name) => `netns del ${name}\n`).join(''),
      timeoutMs: 60_000,
    })
  }
  if (existsSync(STATE_FILE)) await unnameNodes(topologyOf('full'))
  await rm(LAB_DIR, { recursive: true, force: true })
}
