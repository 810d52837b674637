/** What every part of the lab works with, and the little of it that outlives a command. */
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { UserError } from '@vpn-gateway/config'
import { createRunner } from '@vpn-gateway/kernel'
import type { Runner } from '@vpn-gateway/kernel'
import { LAB_DIR, STATE_FILE } from './paths.ts'
import type { Attachments } from './pods/attachments.ts'
import type { Attached } from './pods/cni.ts'
import type { AgentSpec } from './pods/agents.ts'
import { createHttpProbes } from './pods/http.ts'
import type { HttpRequest, HttpResponse } from './pods/http.ts'
import { createPlanners } from './pods/planners.ts'
import { topologyOf } from './topology/topology.ts'
import type { Pod, Provider, Topology, Variant } from './topology/topology.ts'

/** What a later command has to know of a lab that is up; kept in a file. */
export interface LabState {
  variant: Variant
  /** The lab's own copy, which the agents read. */
  systemFile: string
  vip: string
  /** UDP port of VXLAN on the underlay. */
  vxlanPort: number
  /** Ports that the providers forward, with the protocols as they are in the system file. */
  forwards: { protocol: 'tcp' | 'udp' | 'both'; port: number }[]
  attachments: Attachments
  /** Directory of unpacked images that agents run in as containers; the bundles on this machine's own files unless said. */
  images?: string
  /** For each pod and interface, what the CNI gave. */
  attached: Record<string, Record<string, Attached>>
}

/** What every part of the lab works with. */
export interface LabContext {
  runner: Runner
  topology: Topology
  state: LabState
  /** HTTP from inside a namespace. */
  request: (namespace: string, request: HttpRequest) => Promise<HttpResponse>
  /** Steps of an agent's fresh plan, one line each. */
  plan: (agent: AgentSpec) => Promise<string[]>
  /** Writes `state` to its file. */
  save(): Promise<void>
  /** Ends the processes behind `request` and `plan`. */
  close(): void
}

/** Makes the context of a lab from what is known of it. */
export function createContext(state: LabState): LabContext {
  const probes = createHttpProbes()
  const planners = createPlanners(state)
  return {
    runner: createRunner(),
    topology: topologyOf(state.variant),
    state,
    request: (namespace, request) => probes.request(namespace, request),
    plan: (agent) => planners.plan(agent),
    async save() {
      await mkdir(LAB_DIR, { recursive: true })
      await writeFile(STATE_FILE, JSON.stringify(state), { mode: 0o600 })
    },
    close() {
      probes.stop()
      planners.stop()
    },
  }
}

/** State of the lab that is up on this machine; throws a `UserError` if none is. */
export function readState(): LabState {
  try {
    return JSON.parse(readFileSync(STATE_FILE, 'utf8')) as LabState
  } catch {
    throw new UserError('no lab is up: run `npm run lab -- up`')
  }
}

/** The pod of that name; throws an error that lists the names there are. */
export function podNamed(topology: Topology, name: string): Pod {
  const pod = topology.pods.find((candidate) => candidate.name === name)
  if (pod === undefined) {
    throw new Error(`no pod ${name}: expected one of ${topology.pods.map((candidate) => candidate.name).join(', ')}`)
  }
  return pod
}

/** The provider at which a gateway has its account; throws an error where it has none. */
export function providerOf(topology: Topology, gateway: string): Provider {
  const provider = topology.providers.find((candidate) => candidate.gateway === gateway)
  if (provider === undefined) throw new Error(`${gateway} has no provider`)
  return provider
}
