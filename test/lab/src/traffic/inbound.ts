/** A connection from the Internet to a port that a provider forwards to its gateway. */
import type { LabContext } from '../context.ts'
import { INTERNET } from '../topology/addresses.ts'

export interface Inbound {
  /** Exit address and port that were connected to. */
  to: string
  /** Who the service saw: the gateway's address on the cluster's network. */
  seenBy: string
  /** Address of the gateway pod on the cluster's network, which `seenBy` should be. */
  gateway: string
  /** Milliseconds until the whole reply was there. */
  ms: number
}

/** Makes one HTTP request from the Internet host; rejects when the service does not answer. */
export async function inbound({ topology, state, request }: LabContext, provider = 'provider-0'): Promise<Inbound> {
  const through = topology.providers.find(({ name }) => name === provider)
  const forward = state.forwards.find(({ protocol }) => protocol !== 'udp')
  if (through === undefined || forward === undefined)
    throw new Error(`${provider}: no such provider, or no TCP forward`)
  const gateway = topology.pods.find(({ name }) => name === through.gateway)?.clusterAddress ?? ''
  const started = performance.now()
  const { status, body } = await request(INTERNET, {
    host: through.exit,
    port: forward.port,
    path: '/',
    timeoutMs: 10_000,
  })
  const to = `${through.exit}:${forward.port}`
  if (status !== 200) throw new Error(`${to}: HTTP status ${status}`)
  return { to, seenBy: body.trim(), gateway, ms: Math.round(performance.now() - started) }
}
