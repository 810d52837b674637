/**
 * How routers learn whether this gateway's tunnel carries traffic: they ping an address that the pod has only while it
 * does, for a lifetime that this agent renews. The kernel answers, so a busy or restarting agent is not taken for a dead
 * gateway: packets flow without it. A dead agent's word holds until the lifetime ends; a pod that has just come up, before
 * any of its rules stand, has no such address.
 */
import { CommandError, type Runner } from '@vpn-gateway/kernel'
import type { Component, Log } from '@vpn-gateway/runtime'
import { networkInterfaces } from 'node:os'

/** Seconds that the address lasts without hearing of the agent: a restart with a slow start in between. */
const lifetime = 30
/** Milliseconds between two renewals; two may fail. */
const renewEvery = 10_000
/** Milliseconds between two looks at whether it is there; kernel events of lent addresses are not heard, as each renewal is one. */
const lookEvery = 1000

export interface HealthLeaseOptions {
  runner: Runner
  /** Link on the gateway network. */
  dev: string
  /** What routers ping. */
  address: string
  /** Whether the tunnel carries traffic. */
  healthy: () => boolean
  /** Told when somebody else had taken the address away. */
  onMissing?: () => void
  log: Log
}

/** The component that holds the address while the tunnel carries traffic and gives it up when it does not. */
export interface HealthLease extends Component {
  /** Makes the kernel's answer fit the tunnel's state now. */
  update(): void
}

/** Makes the lease; nothing is held before it is started and the tunnel is found healthy. */
export function createHealthLease(options: HealthLeaseOptions): HealthLease {
  const { runner, dev, address, healthy, log } = options
  let timer: NodeJS.Timeout | undefined
  let watch: NodeJS.Timeout | undefined
  /** Whether the kernel was last told to hold it, and did. */
  let holds = false
  let running: Promise<void> | undefined
  let again = false
  let stopped = true

  async function hold(held: boolean): Promise<void> {
    try {
      await runner.run({ argv: leaseCommand(dev, address, held) })
      holds = held
    } catch (error) {
      // Given up before it was held.
      if (!held && error instanceof CommandError && error.kind !== 'not-permitted') return
      log.warn(
        { error: error instanceof Error ? error.message : String(error) },
        'routers cannot be told of the tunnel',
      )
    }
  }

  function update(): void {
    if (stopped) return
    if (running !== undefined) {
      again = true
      return
    }
    running = hold(healthy()).finally(() => {
      running = undefined
      const changed = again
      again = false
      if (changed) update()
    })
  }

  /** Says and counts that somebody has taken the address away, before it is put back; tells whether that is so. */
  function noteMissing(): boolean {
    if (!holds || running !== undefined || !healthy() || !isMissing(dev, address)) return false
    log.warn({ dev, address }, 'health address was taken away: put back')
    options.onMissing?.()
    return true
  }

  function renew(): void {
    if (!healthy()) return
    // A renewal puts it back as well, and would be the one that nobody hears of.
    noteMissing()
    update()
  }

  return {
    name: 'health-lease',
    async start() {
      stopped = false
      // One that was restarted holds its address still: only a tunnel that is found down takes it away.
      if (healthy()) update()
      timer = setInterval(renew, renewEvery)
      watch = setInterval(() => noteMissing() && update(), lookEvery)
    },
    async stop() {
      stopped = true
      clearInterval(timer)
      clearInterval(watch)
      await running
      await hold(false)
    },
    update,
  }
}

/** ip-address(8); of link scope, so that nothing else takes it for a source. */
function leaseCommand(dev: string, address: string, held: boolean): [string, ...string[]] {
  if (!held) return ['ip', 'address', 'del', `${address}/32`, 'dev', dev]
  const life = ['valid_lft', String(lifetime), 'preferred_lft', String(lifetime)]
  return ['ip', 'address', 'replace', `${address}/32`, 'dev', dev, 'scope', 'link', ...life]
}

/** Whether a link that is there and works has lost an address. One that is down shows none at all, and nothing is known. */
function isMissing(dev: string, address: string): boolean {
  const held = networkInterfaces()[dev]
  return held !== undefined && !held.some((one) => one.address === address)
}
