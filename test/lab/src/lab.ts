/** A running lab: what the demo, the end-to-end tests and `npm run lab` do with it. */
import { startCapture } from './capture/capture.ts'
import type { Capture } from './capture/capture.ts'
import { changeFile } from './change-file.ts'
import { createContext, readState } from './context.ts'
import type { LabContext, LabState } from './context.ts'
import { createFaults } from './faults/faults.ts'
import type { Faults } from './faults/faults.ts'
import { footprint } from './footprint.ts'
import type { Footprint } from './footprint.ts'
import { createAgents } from './pods/agent-control.ts'
import type { Agents } from './pods/agent-control.ts'
import type { HttpRequest, HttpResponse } from './pods/http.ts'
import { vipHolders } from './pods/vip.ts'
import { runIn } from './topology/namespace.ts'
import type { Topology } from './topology/topology.ts'
import { startFlows } from './traffic/flows.ts'
import { startSender } from './traffic/sender.ts'
import type { Sender } from './traffic/sender.ts'
import type { Flows, StartFlowsOptions } from './traffic/flows.ts'
import { inbound } from './traffic/inbound.ts'
import type { Inbound } from './traffic/inbound.ts'

/** A lab that is up. Names are those of namespaces; every wait has a bound and fails with what was awaited. */
export interface Lab {
  readonly topology: Topology
  readonly state: LabState
  readonly agents: Agents
  readonly faults: Faults
  /** Runs a program in a namespace; resolves to its standard output. */
  exec(host: string, argv: readonly string[], options?: { stdin?: string; timeoutMs?: number }): Promise<string>
  /** HTTP from inside a namespace, by default to its own loopback; costs no process. */
  request(host: string, request: HttpRequest): Promise<HttpResponse>
  /** Router that holds the VIP; `undefined` while none or more than one does. */
  activeRouter(): Promise<string | undefined>
  /** Routers that hold the VIP: more than one is a fault. */
  vipHolders(): Promise<string[]>
  /** Changes the system file that the agents read, whole at once as a ConfigMap is; resolves to what it held before. */
  changeSystem(change: (text: string) => string): Promise<string>
  startFlows(options: StartFlowsOptions): Promise<Flows>
  /** Starts what sends whatever may leak from a client, on `use`. */
  startSender(client: string): Promise<Sender>
  startCapture(): Promise<Capture>
  /** What the pods, nodes and their processes hold now. */
  footprint(): Promise<Footprint>
  /** Connects from the Internet host to a forwarded port of a provider's exit. */
  inbound(provider?: string): Promise<Inbound>
  /** Ends the processes that wait for questions; the lab stays up. */
  close(): void
}

/** Makes the lab's functions on a context whose lab is up. */
export function createLab(context: LabContext): Lab {
  const { runner, topology, state } = context
  const agents = createAgents(context)
  return {
    topology,
    state,
    agents,
    faults: createFaults(context, agents),
    exec: (host, argv, options) => runIn(runner, host, argv, options),
    request: (host, request) => context.request(host, request),
    async activeRouter() {
      const holders = await vipHolders(context)
      return holders.length === 1 ? holders[0] : undefined
    },
    vipHolders: () => vipHolders(context),
    changeSystem: (change) => changeFile(state.systemFile, change),
    startFlows,
    startSender: (client) => startSender(runner, client),
    startCapture: () => startCapture(runner, topology, state.vxlanPort),
    footprint: () => footprint(context),
    inbound: (provider) => inbound(context, provider),
    close: () => context.close(),
  }
}

/** Opens the lab that is up on this machine; throws a `UserError` if none is. */
export function openLab(): Lab {
  return createLab(createContext(readState()))
}
