import type { WireguardDevice } from '@vpn-gateway/kernel'
import type { Component } from '@vpn-gateway/runtime'
import { isIP } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { Endpoints } from './endpoint.ts'
import { atRest, decide, type RecoveryAction, type Situation } from './recovery.ts'
import type { Tunnel } from './tunnel-file.ts'
import type { TunnelSource } from './tunnel-source.ts'

/** What recovery works with. */
export interface RecovererOptions {
  tunnel: Pick<TunnelSource, 'current' | 'file' | 'files' | 'advance'>
  endpoints: Pick<Endpoints, 'current' | 'resolve' | 'advance' | 'alternatives' | 'forgetTried'>
  device: { read(): Promise<WireguardDevice | undefined> }
  down: () => boolean
  /** Resolves once the kernel was made to hold what files and endpoints say now. */
  applied: () => Promise<unknown>
  /** Makes the kernel forget its sessions with the peers, unless the tunnel is up by then. */
  resetPeers: () => Promise<void>
  onAction?: (action: RecoveryAction) => void
  log: { warn(fields: object, message: string): void }
}

/** Milliseconds between two looks at the tunnel. */
const tick = 250

/** Makes the component that does what `recovery.ts` decides. */
export function createRecoverer(options: RecovererOptions): Component {
  const { tunnel, endpoints, log } = options
  let recovery = atRest
  /** What the peers had said when the tunnel went down. */
  let before: Heard | undefined
  /** What the file in use held at the last look. */
  let tried: Tunnel | undefined
  /** Where its peers were at the last look. */
  let places = ''
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  let stopped = true

  const placesNow = () => [...endpoints.current()].join(' ')

  async function situation(): Promise<Situation> {
    const heard = heardFrom(await options.device.read())
    // A reset begins to count at 0 again.
    if (before === undefined || heard.bytes < before.bytes) before = { bytes: heard.bytes, handshake: heard.handshake }
    const { peers } = tunnel.current()
    return {
      down: options.down(),
      peerHeard: heard.bytes > before.bytes || heard.handshake > before.handshake,
      named: peers.some(({ endpoint }) => endpoint !== undefined && isIP(endpoint.host) === 0),
      resolved: endpoints.current().size > 0,
      alternatives: endpoints.alternatives() + tunnel.files().length - 1,
    }
  }

  async function look(): Promise<void> {
    if (!options.down()) {
      if (recovery !== atRest) endpoints.forgetTried()
      recovery = atRest
      before = undefined
      return
    }
    if (recovery !== atRest && !isDeepStrictEqual(tunnel.current(), tried)) {
      log.warn({ file: tunnel.file() }, 'tunnel down: its file was changed, beginning again with it')
      recovery = atRest
      before = undefined
    }
    tried = tunnel.current()
    const now = performance.now() / 1000
    const moved = recovery !== atRest && placesNow() !== places
    places = placesNow()
    // By a resolver's answer that was waited for no longer: at a new address nobody knows of the session.
    if (moved && recovery.next !== 'resolve') {
      recovery = { ...recovery, next: 'handshake', dueAt: now }
      before = undefined
    }
    if (recovery.next !== undefined && now < recovery.dueAt) return
    const decided = decide(recovery, await situation(), now, Math.random())
    recovery = decided.recovery
    if (decided.action === undefined || stopped) return
    options.onAction?.(decided.action)
    await act(decided.action)
    // Going on to another file is no change of one, nor is what was done about a name an answer that came late.
    if (decided.action.kind === 'rotate') tried = tunnel.current()
    places = placesNow()
  }

  /** Files and endpoints may change under way: what the reset then has put back of the former is made right at once. */
  async function reset(): Promise<void> {
    await options.resetPeers()
    await options.applied()
  }

  async function act(action: RecoveryAction): Promise<void> {
    if (action.kind === 'resolve') {
      if (!(await endpoints.resolve())) return
      log.warn({ endpoints: [...endpoints.current().values()] }, 'tunnel down: its endpoint has another address')
      await options.applied()
      return
    }
    if (action.kind === 'handshake') {
      log.warn({}, 'tunnel down: shaking hands anew')
      await reset()
      before = silent
      return
    }
    const held = await options.device.read()
    if (!endpoints.advance()) {
      if (tunnel.files().length > 1) tunnel.advance()
      else endpoints.advance()
    }
    await endpoints.resolve()
    log.warn(
      { reason: action.reason, file: tunnel.file(), endpoints: [...endpoints.current().values()] },
      'tunnel down: going on to the next endpoint',
    )
    await options.applied()
    // With a peer that it has already, WireGuard goes on with the session, or with waiting for the answer to a handshake: a
    // server that has the same key and knows of neither would be given up before it was asked.
    const stays = tunnel
      .current()
      .peers.some(({ publicKey }) => held?.peers.some((peer) => peer.publicKey === publicKey))
    if (stays) await reset()
    before = silent
  }

  function schedule(): void {
    if (stopped) return
    timer = setTimeout(() => {
      running = look()
        .catch((error: unknown) => {
          log.warn({ error: error instanceof Error ? error.message : String(error) }, 'recovery failed')
        })
        .then(schedule)
    }, tick)
  }

  return {
    name: 'recovery',
    async start() {
      stopped = false
      schedule()
    },
    async stop(deadline) {
      stopped = true
      clearTimeout(timer)
      const late = new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve(), { once: true }))
      await Promise.race([running, late])
    },
  }
}

/** What a peer has said that was just made. */
const silent: Heard = { bytes: 0, handshake: 0 }

interface Heard {
  bytes: number
  /** Unix seconds of the latest handshake; 0 before the first. */
  handshake: number
}

function heardFrom(device: WireguardDevice | undefined): Heard {
  const peers = device?.peers ?? []
  return {
    bytes: peers.reduce((sum, { received }) => sum + received, 0),
    handshake: Math.max(0, ...peers.map(({ latestHandshake }) => latestHandshake)),
  }
}
