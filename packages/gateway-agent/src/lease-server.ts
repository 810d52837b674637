/** The talk with one NAT-PMP server: one request at a time, repeated until it is answered (RFC 6886, section 3.1). */
import {
  answerTimeout,
  doubted,
  failed,
  granted,
  lapsed,
  left,
  lostState,
  newLease,
  type Epoch,
  type Lease,
  type LeaseMapping,
} from './lease.ts'
import { openNatPmpSocket, type NatPmpSocket } from './natpmp-socket.ts'
import { explainResult, type MappingProtocol, type NatPmpRequest, type NatPmpResponse } from './natpmp.ts'

/** A port to be leased, for one protocol. */
export interface LeaseWish {
  /** The forward's name. */
  name: string
  protocol: MappingProtocol
  /** Address of the NAT-PMP server. */
  server: string
  /** Port at the gateway's end of the tunnel; 0 where the server picks it. */
  internalPort: number
  /** Seconds to ask for. */
  lifetime: number
}

/** What a server is talked to with. */
export interface LeaseServerOptions {
  server: string
  wishes: readonly LeaseWish[]
  /** What an earlier process was granted, by the clock of `now`. */
  held: (wish: LeaseWish) => LeaseMapping | undefined
  /** Told after each grant, failure and lapse. */
  onChange: () => void
  /** `renewed`, or why not, in a word. */
  onResult: (wish: LeaseWish, result: string) => void
  log: { warn(fields: object, message: string): void; info(fields: object, message: string): void }
  /** Seconds that never go back. */
  now: () => number
  /** UDP port of the server; the standard's unless said. */
  port?: number | undefined
}

/** One server's leases. */
export interface LeaseServer {
  leases(): readonly { wish: LeaseWish; lease: Lease }[]
  /** The exit's address as the server says; undefined while unknown. */
  externalAddress(): string | undefined
  /** Asks for all that is due; resolves when nothing is, or `signal` aborts. */
  work(localAddress: string, signal: AbortSignal): Promise<void>
  /** Drops what is over. */
  lapse(): void
  /** What the server said may no longer hold: all is asked for again. */
  doubt(): void
  /** It was another server that granted what is held: nothing is held any more. */
  leave(): void
}

/** Unanswered sendings of one request after which silence is a problem and no loss: 3.75 s. */
const silentAfter = 4
/** Seconds between two questions for the address, which also tell whether the server lost its mappings. */
const addressEvery = 60
/** Seconds in which a server can forget once: one whose epochs make no sense would be asked without a pause. */
const forgetEvery = 10

interface Slot {
  wish: LeaseWish
  lease: Lease
}

export function createLeaseServer(options: LeaseServerOptions): LeaseServer {
  const { server, log, now } = options
  const slots: Slot[] = options.wishes.map((wish) => ({ wish, lease: newLease(now(), options.held(wish)) }))
  let address: string | undefined
  let addressDue = now()
  let epoch: Epoch | undefined
  let silences = 0
  let forgotAt = Number.NEGATIVE_INFINITY

  /** Those that wait longest first. */
  function dueSlots(): Slot[] {
    const waiting = slots.filter(({ lease }) => lease.dueAt <= now())
    return waiting.toSorted((one, other) => one.lease.dueAt - other.lease.dueAt)
  }

  function due(): Slot | 'address' | undefined {
    return dueSlots()[0] ?? (addressDue <= now() ? 'address' : undefined)
  }

  function requestOf({ wish, lease }: Slot): NatPmpRequest {
    const { name, protocol, internalPort, lifetime } = wish
    // Applications announce one port for both protocols: where the other has one already, it is asked for here too.
    const sibling = slots.find((slot) => slot.wish.name === name && slot.wish.protocol !== protocol)
    const externalPort = lease.lastPort || (sibling?.lease.lastPort ?? 0)
    return { kind: 'mapping', protocol, internalPort, externalPort, lifetime }
  }

  async function work(localAddress: string, signal: AbortSignal): Promise<void> {
    if (due() === undefined) return
    silences = 0
    const socket = await open(localAddress)
    if (socket === undefined) return
    try {
      for (let next = due(); next !== undefined && !signal.aborted; next = due()) {
        const request: NatPmpRequest = next === 'address' ? { kind: 'address' } : requestOf(next)
        const answer = await socket.ask(request, answerTimeout(silences), signal)
        if (signal.aborted) return
        if (answer === undefined) unanswered(next)
        else take(next, answer)
      }
    } finally {
      socket.close()
    }
  }

  async function open(localAddress: string): Promise<NatPmpSocket | undefined> {
    try {
      return await openNatPmpSocket(server, localAddress, options.port)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      for (const slot of dueSlots())
        fail(slot, 'no-socket', `asking ${server} from ${localAddress}: ${code ?? message}`)
      addressDue = now() + addressEvery
      options.onChange()
      return undefined
    }
  }

  function unanswered(next: Slot | 'address'): void {
    silences += 1
    if (silences < silentAfter) return
    if (next === 'address') {
      // Nothing depends on it, and a server may not know the question.
      addressDue = now() + addressEvery
      silences = 0
      return
    }
    for (const slot of dueSlots()) {
      const { dueAt } = slot.lease
      fail(slot, 'silence', `no answer from ${server}`)
      // The time that the answer had was the pause.
      slot.lease = { ...slot.lease, dueAt }
    }
    options.onChange()
  }

  function take(next: Slot | 'address', answer: NatPmpResponse): void {
    silences = 0
    heed(answer.epoch)
    if (next === 'address') {
      addressDue = now() + addressEvery
      address = answer.kind === 'address' ? answer.address : undefined
    } else if (answer.kind === 'failure') {
      const { reason, text } = explainResult(answer.result)
      fail(next, reason, text)
    } else if (answer.kind === 'mapping') {
      if (answer.externalPort === 0 || answer.lifetime === 0) fail(next, 'other', 'the server granted no port')
      else succeed(next, answer)
    }
    options.onChange()
  }

  function heed(seconds: number): void {
    const heard = { seconds, at: now() }
    if (lostState(epoch, heard) && heard.at - forgotAt >= forgetEvery) {
      forgotAt = heard.at
      log.warn({ server }, 'NAT-PMP server forgot its mappings: asking for all of them again')
      askAgain()
    }
    epoch = heard
  }

  function succeed(slot: Slot, answer: { externalPort: number; lifetime: number }): void {
    const { name, protocol } = slot.wish
    const before = slot.lease
    const { externalPort, lifetime } = answer
    slot.lease = granted(before, answer, now())
    if (before.mapping?.externalPort !== externalPort) {
      log.info({ forward: name, protocol, externalPort, before: before.lastPort, lifetime }, 'port leased')
    } else if (before.problem !== undefined) {
      log.info({ forward: name, protocol, externalPort, lifetime }, 'port leased again')
    }
    options.onResult(slot.wish, 'renewed')
  }

  function fail(slot: Slot, reason: string, text: string): void {
    const { name, protocol } = slot.wish
    if (slot.lease.problem !== text) log.warn({ forward: name, protocol, server, reason: text }, 'port not leased')
    slot.lease = failed(slot.lease, text, now())
    options.onResult(slot.wish, reason)
  }

  function askAgain(): void {
    for (const slot of slots) slot.lease = doubted(slot.lease, now())
    addressDue = now()
  }

  return {
    leases: () => slots,
    externalAddress: () => address,
    work,
    lapse() {
      let changed = false
      for (const slot of slots) {
        const { mapping } = slot.lease
        const lease = lapsed(slot.lease, now())
        if (lease === slot.lease) continue
        if (mapping !== undefined && lease.mapping === undefined) {
          const { name, protocol } = slot.wish
          log.warn({ forward: name, protocol, externalPort: mapping.externalPort }, 'leased port ran out')
        }
        slot.lease = lease
        changed = true
      }
      if (changed) options.onChange()
    },
    doubt() {
      epoch = undefined
      askAgain()
    },
    leave() {
      address = undefined
      for (const slot of slots) slot.lease = left(slot.lease)
      options.onChange()
    },
  }
}
