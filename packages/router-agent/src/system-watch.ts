/**
 * Notices that the system file has changed and takes the new one over in place. What says who this router is (networks, VIP,
 * its own range) cannot change under a running pod: such a file is refused whole, and the pod goes on as it was.
 */
import { isDeepStrictEqual } from 'node:util'
import { addressPlan, parseSystem, readSystemText, UserError, type System } from '@vpn-gateway/config'
import type { Component, Log } from '@vpn-gateway/runtime'
import type { Router } from './router.ts'

export interface SystemWatch extends Component {
  /** Why the file that is there is not in use, one line each. */
  problems(): readonly string[]
}

export interface SystemWatchOptions {
  router: Router
  path: string
  /** Takes the router's new system over; rejects when a daemon refuses it. */
  apply: () => Promise<void>
  log: Log
}

/** Milliseconds between two readings. A ConfigMap is swapped by a symbolic link, which no watch on the file sees. */
const readEvery = 2000

export function createSystemWatch({ router, path, apply, log }: SystemWatchOptions): SystemWatch {
  let problems: readonly string[] = []
  let seen: string | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = true

  /** True unless it has to be tried again: what a daemon refuses may have been the machine's fault. */
  async function take(text: string): Promise<boolean> {
    const before = { system: router.system, plan: router.plan }
    try {
      const system = parseSystem(text, path)
      const fixed = fixedChanges(router.system, system)
      if (fixed.length > 0) throw new UserError(fixed.map((field) => `${path}: ${field}: changes with a new pod only`))
      if (isDeepStrictEqual(system, router.system)) {
        problems = []
        return true
      }
      // Who holds the router sees the new system from here on: desired state and what is rendered come from it.
      Object.assign(router, { system, plan: addressPlan(system) })
      await apply()
      problems = []
      log.info('the system file has changed: taken over')
      return true
    } catch (error) {
      Object.assign(router, before)
      const known = problems
      problems = error instanceof UserError ? error.problems : [error instanceof Error ? error.message : String(error)]
      for (const problem of problems) {
        if (!known.includes(problem)) log.error({ problem }, 'the system file has changed and is not used')
      }
      return error instanceof UserError
    }
  }

  async function round(): Promise<void> {
    const text = await readSystemText(path).catch(() => undefined)
    if (text !== undefined && text !== seen && (await take(text))) seen = text
    if (!stopped) timer = setTimeout(() => void round(), readEvery)
  }

  return {
    name: 'system-watch',
    async start() {
      stopped = false
      await round()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
    },
    problems: () => problems,
  }
}

/** Fields that differ and that a running router cannot change. Pure. */
export function fixedChanges(before: System, after: System): string[] {
  const { routers, vip, subnet } = before.gatewayNetwork
  const fields: [string, unknown, unknown][] = [
    ['gatewayNetwork.subnet', subnet, after.gatewayNetwork.subnet],
    ['gatewayNetwork.vip', vip, after.gatewayNetwork.vip],
    ['gatewayNetwork.routers', routers, after.gatewayNetwork.routers],
    ['routerNetwork', before.routerNetwork, after.routerNetwork],
    ['router.virtualRouterId', before.router.virtualRouterId, after.router.virtualRouterId],
  ]
  return fields.filter(([, old, now]) => !isDeepStrictEqual(old, now)).map(([field]) => field)
}
