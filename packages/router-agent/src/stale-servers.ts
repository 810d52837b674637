/**
 * Real servers that IPVS still has from before a start of keepalived's checker. The checker knows nothing of them: it adds
 * those that answer and leaves the others in service, also one that died in between.
 */
import { healthAddress } from '@vpn-gateway/config'
import { CommandError, type Runner } from '@vpn-gateway/kernel'
import type { Log } from '@vpn-gateway/runtime'
import { flowServices } from './flow-services.ts'
import { isHeld } from './held.ts'
import { gatewayPort, type Router } from './router.ts'

export interface StaleServers {
  /** A line of lvs_notify_fifo. */
  heard(line: string): void
  /** The checker has been started: whom it has not found alive when it must have is taken out. */
  checkerStarted(): void
  stop(): void
}

export interface StaleServersOptions {
  router: Router
  runner: Runner
  log: Log
  /** Addresses of the gateways that are in service. */
  inService: () => readonly string[]
  onRemoved: () => void
}

export function createStaleServers(options: StaleServersOptions): StaleServers {
  const { router, runner, log, inService, onRemoved } = options
  const { interval, timeout } = router.system.router.healthCheck
  const found = new Set<string>()
  let timer: NodeJS.Timeout | undefined

  async function remove(): Promise<void> {
    // Lines of the FIFO and of the log overtake each other. One that holds its health address is well, whatever its agent
    // says; taken out by mistake it would stay out, for keepalived believes it in service.
    const unseen = inService().filter((gateway) => !found.has(gateway))
    const held = await Promise.all(unseen.map((gateway) => isHeld(healthAddress(gateway), gatewayPort)))
    const stale = unseen.filter((gateway, index) => held[index] !== true && !found.has(gateway))
    for (const gateway of stale) {
      log.warn({ gateway }, 'taking a dead gateway out that was in service before keepalived started')
      for (const mark of flowServices(router).flatMap(({ marks }) => marks)) await removeFrom(mark, gateway)
    }
    if (stale.length > 0) onRemoved()
  }

  /** Each service has its own checks, so that one may know already what the others do not. */
  async function removeFrom(mark: number, gateway: string): Promise<void> {
    try {
      await runner.run({ argv: ['ipvsadm', '-d', '-f', String(mark), '-r', `${gateway}:0`] })
    } catch (error) {
      if (!(error instanceof CommandError) || error.kind !== 'not-found') throw error
    }
  }

  return {
    heard(line) {
      const server = parseServerLine(line)
      if (server === undefined) return
      if (server.up) found.add(server.address)
      else found.delete(server.address)
    },
    checkerStarted() {
      found.clear()
      clearTimeout(timer)
      // Two checks in a row, and time for a slow machine.
      timer = setTimeout(
        () => {
          remove().catch((error: unknown) => log.warn({ error: String(error) }, 'taking out a dead gateway failed'))
        },
        (2 * (interval + timeout) + 3) * 1000,
      )
    },
    stop: () => clearTimeout(timer),
  }
}

/** Parses `RS [192.168.50.248]:none:0 FWM 1 UP`; undefined for lines about the virtual service. */
export function parseServerLine(line: string): { address: string; up: boolean } | undefined {
  const [, address, state] = /^RS \[([^\]]+)\]\S* .* (UP|DOWN)$/.exec(line) ?? []
  return address === undefined ? undefined : { address, up: state === 'UP' }
}
