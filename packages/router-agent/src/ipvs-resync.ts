/**
 * Sends a standby all flows that IPVS has: when it has just become one, when it sees more gateways than before, for with a
 * gateway that it could not reach it forgot the flows too, some time after it has lost one, whose UDP flows go on through
 * others, and when it lacks flows nevertheless.
 */
import { createSocket, type Socket } from 'node:dgram'
import { setTimeout as delay } from 'node:timers/promises'
import { readIpvsConnections, type IpvsConnection } from '@vpn-gateway/kernel'
import type { Component, Log } from '@vpn-gateway/runtime'
import { markOfClient } from './flow-services.ts'
import { encodeFlows, entriesOf, flowsPerMessage, isTellable, type MarkedFlow } from './ipvs-message.ts'
import type { Peer } from './peers.ts'
import { ipvsSync, type Router } from './router.ts'

export interface IpvsResync extends Component {
  /** Looks whether somebody has to be told; called after each round of questions to the others. */
  look(active: boolean, peers: Iterable<Peer>): void
  /** Seconds since each standby was told all, by its address on the gateway network. */
  told(): Record<string, number>
}

/** Messages between two pauses, and milliseconds of each: the receiver's socket holds a few hundred. */
const burst = 50
const pause = 10
/** Milliseconds that clocks of two agents' rounds may differ. */
const tolerance = 2000
/** Milliseconds after which a standby that lacks flows is told again. */
const again = 5000
/** Milliseconds from the loss of a gateway until flows that send something every few seconds go on through another one. */
const moving = 5000

interface Told {
  /** By performance.now(). */
  at: number
  liveGateways: number
  /** When it was heard to have lost a gateway, whose flows may not all have moved when it was told; by performance.now(). */
  lostAt?: number
}

/** Makes the component; it sends nothing before `look` finds a reason. */
export function createIpvsResync({
  router,
  log,
  isLacking,
  read = readIpvsConnections,
}: {
  router: Router
  log: Log
  /** Whether a standby lacks flows, by its address. */
  isLacking: (address: string) => boolean
  read?: () => AsyncIterable<IpvsConnection>
}): IpvsResync {
  const told = new Map<string, Told>()
  let socket: Socket | undefined
  let sending: Promise<void> | undefined

  async function send(to: readonly Peer[]): Promise<void> {
    const began = performance.now()
    const target = (socket ??= await openSocket(router.syncAddress))
    const markOf = markOfClient(router)
    let flows: MarkedFlow[] = []
    let count = 0
    let messages = 0
    const flush = async () => {
      const message = encodeFlows(flows, router.system.router.virtualRouterId)
      flows = []
      await new Promise<void>((resolve, reject) =>
        target.send(message, ipvsSync.port, ipvsSync.group, (error) => (error === null ? resolve() : reject(error))),
      )
      messages += 1
      if (messages % burst === 0) await delay(pause)
    }
    for await (const flow of read()) {
      if (!isTellable(flow)) continue
      count += 1
      for (const entry of entriesOf({ ...flow, fwmark: markOf(flow.client) })) {
        flows.push(entry)
        if (flows.length === flowsPerMessage) await flush()
      }
    }
    if (flows.length > 0) await flush()
    for (const { address, liveGateways, heardAt } of to) {
      const before = told.get(address)
      // Who is told for the first time may have lost a gateway just before; flows may go on moving after what was told.
      const lostAt = before === undefined ? heardAt : before.lostAt
      const isMoving = lostAt !== undefined && heardAt - lostAt <= moving
      told.set(address, { at: performance.now(), liveGateways, ...(isMoving ? { lostAt } : {}) })
    }
    log.info(
      { routers: to.map(({ address }) => address), flows: count, milliseconds: Math.round(performance.now() - began) },
      'told a standby all flows',
    )
  }

  return {
    name: 'ipvs-resync',
    async start() {
      // The socket is opened when it is first needed.
    },
    async stop() {
      await sending
      socket?.close()
      socket = undefined
    },
    look(active, peers) {
      if (!active) told.clear()
      if (!active || sending !== undefined) return
      const waiting: Peer[] = []
      for (const peer of peers) {
        const before = told.get(peer.address)
        if (isWaiting(peer, before, isLacking(peer.address))) waiting.push(peer)
        // With a gateway that it loses it forgets what it was told; it is told again when that one is back.
        else if (before !== undefined && peer.liveGateways < before.liveGateways) {
          before.liveGateways = peer.liveGateways
          before.lostAt = peer.heardAt
        }
      }
      if (waiting.length === 0) return
      sending = send(waiting)
        .catch((error: unknown) => log.warn({ error: String(error) }, 'telling a standby all flows failed'))
        .finally(() => (sending = undefined))
    },
    told: () => Object.fromEntries([...told].map(([address, { at }]) => [address, (performance.now() - at) / 1000])),
  }
}

/**
 * Whether a router is a standby that sees gateways and was not told since it came to see them, or lost one and the flows have
 * moved, or lacks flows for so long that telling them cannot have arrived. Pure.
 */
export function isWaiting(peer: Peer, told: Told | undefined, lacking: boolean): boolean {
  if (peer.vrrp !== 'BACKUP' || peer.liveGateways === 0) return false
  if (told === undefined || peer.liveGateways > told.liveGateways) return true
  if (told.lostAt !== undefined && peer.heardAt - told.lostAt > moving) return true
  if (lacking && peer.heardAt - told.at > again) return true
  const standbySince = peer.heardAt - (peer.stateSeconds ?? 0) * 1000
  return standbySince > told.at + tolerance
}

function openSocket(address: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(0, address, () => {
      socket.removeListener('error', reject)
      socket.on('error', () => undefined)
      socket.setMulticastInterface(address)
      socket.setMulticastTTL(1)
      // This router's own receiver knows them.
      socket.setMulticastLoopback(false)
      resolve(socket)
    })
  })
}
