/** The node's kernel modules and findings, looked at every now and then. */
import type { System } from '@vpn-gateway/config'
import type { Runner } from '@vpn-gateway/kernel'
import type { Component, Log } from '@vpn-gateway/runtime'
import { readFacts } from './facts.ts'
import { findings, vxlanOffload, type Finding } from './finding.ts'
import { loadModules, moduleProblems, readModules, type ModuleStatus } from './modules.ts'
import type { World } from './world.ts'

/** What was seen last. */
export interface NodeView extends Component {
  modules(): readonly ModuleStatus[]
  findings(): readonly Finding[]
  /** Features of the underlay device by name; undefined where ethtool(8) is not there. */
  offloads(): Readonly<Record<string, boolean>> | undefined
  /** Modules that something will fail for want of, one line each. */
  problems(): string[]
}

/** Milliseconds between two looks at the modules, which are files; the rest takes programs and is looked at every sixth time. */
const interval = 10_000
const thorough = 6

export function createNodeView(parts: {
  runner: Runner
  system: System
  world: () => World | undefined
  log: Pick<Log, 'info' | 'warn'>
}): NodeView {
  const { runner, system, world, log } = parts
  let modules: ModuleStatus[] = []
  let seen: Finding[] = []
  let offloads: Readonly<Record<string, boolean>> | undefined
  let loadProblem: string | undefined
  let looks = 0
  let stopped = true
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  async function look(): Promise<void> {
    modules = await readModules(system)
    const all = looks++ % thorough === 0
    if (all && system.node.loadModules) {
      loadProblem = await loadModules(runner, modules)
      modules = await readModules(system)
    }
    const current = world()
    // The first reading of the world may have failed: then the next look is the first.
    if (current === undefined) looks = 0
    else if (all) await lookAround(current)
  }

  async function lookAround(current: World): Promise<void> {
    const facts = await readFacts(runner, system, current)
    offloads = facts.offloads === undefined ? undefined : pick(facts.offloads)
    const before = new Set(seen.map(({ text }) => text))
    seen = findings(facts, current)
    for (const { finding, text } of seen) if (!before.has(text)) log.warn({ finding }, text)
  }

  /** What a program prints that is not understood must not end the agent: the next look may do better. */
  async function tryLook(): Promise<void> {
    await look().catch((error: unknown) => {
      log.warn({ error: error instanceof Error ? error.message : String(error) }, 'looking at the node failed')
    })
  }

  function schedule(): void {
    if (stopped) return
    timer = setTimeout(() => void (running = tryLook().then(schedule)), interval)
  }

  return {
    name: 'node-view',
    async start() {
      stopped = false
      await tryLook()
      schedule()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
    modules: () => modules,
    findings: () => seen,
    offloads: () => offloads,
    problems: () => [...moduleProblems(modules), ...(loadProblem === undefined ? [] : [loadProblem])],
  }
}

/** What matters to encapsulated frames. */
const features = [vxlanOffload, 'tx-udp_tnl-segmentation', 'rx-udp_tunnel-port-offload', 'generic-receive-offload']

function pick(all: Readonly<Record<string, boolean>>): Record<string, boolean> {
  return Object.fromEntries(features.flatMap((name) => (all[name] === undefined ? [] : [[name, all[name]]])))
}
