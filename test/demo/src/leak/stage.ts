/** The lab with clients that send whatever may leak, without end: what the cases of the leak suite play on. */
import {
  awaitCondition,
  internetAddress,
  sentKinds,
  sumSent,
  type Capture,
  type Destination,
  type Lab,
  type Sender,
  type Sent,
} from '@vpn-gateway/lab'
import type { LeakCase } from '../message.ts'
import { createPromises, line, progress, seconds, type Stage } from '../stage.ts'
import { detoursOf, openDetours, type Detour } from './detour.ts'

/** The client that has routes and nothing else, and the one whose root goes around the routers. */
export const honest = 'client-0'
export const rogue = 'client-1'

/** Packets of each kind that each client has to send in a state for it to count. */
const enough = 8

/** One state, or change of state, of the system. */
export interface Case {
  name: string
  title: string
  text: string
  play(stage: LeakStage): Promise<void>
}

export interface LeakStage extends Pick<Stage, 'promise' | 'broken'> {
  lab: Lab
  capture: Capture
  cases: LeakCase[]
  /** Ways around the active router, by pod and node. */
  detours: readonly Detour[]
  /** Waits until each client has sent enough of each kind, counted from now on. */
  sending(what: string): Promise<void>
  /** Finds the ways around again, after pods were made anew. */
  renew(): Promise<void>
  /** Clients send to other destinations too, or to others only; `standard` goes back. */
  use(client: string, destinations: readonly Destination[]): Promise<void>
  standard(): Promise<void>
  /** Notes how long it took until all was in place again. */
  closedFor(milliseconds: number): void
  /** Plays one case and judges it. */
  play(item: Case): Promise<void>
  close(): Promise<void>
}

/** What clients send to unless a case says otherwise. */
function standardOf(lab: Lab, ways: readonly Detour[], client: string): Destination[] {
  const [provider] = lab.topology.providers
  return [
    { address: internetAddress },
    // A name server of the Internet; where the tunnels end, to which gateways themselves send by the pod network.
    { address: '9.9.9.9', quiet: true },
    { address: provider?.endpoint ?? '', port: 51820, quiet: true },
    ...(client === rogue ? ways.map(({ direct }) => ({ address: direct })) : []),
    ...ways.map(({ direct6 }, index) => ({ address: direct6, quiet: index > 0 })),
  ]
}

const nothing: Sent = { tcp: 0, udp: 0, icmp: 0, dns: 0, ipv6: 0, large: 0 }

/** Starts the captures and the senders. */
export async function openLeakStage(lab: Lab): Promise<LeakStage> {
  const capture = await lab.startCapture()
  const senders = await Promise.all([honest, rogue].map((client) => lab.startSender(client)))
  const detours = detoursOf(lab)
  const cases: LeakCase[] = []
  /** Of the case that is being played. */
  let sent = nothing
  let closed: number | undefined

  const take = async (): Promise<Sent[]> => {
    const fresh = await Promise.all(senders.map((sender) => sender.sent()))
    sent = sumSent([sent, ...fresh])
    return fresh
  }
  const of = (client: string): Sender => {
    const sender = senders.find((each) => each.client === client)
    if (sender === undefined) throw new Error(`${client} sends nothing`)
    return sender
  }

  const stage: LeakStage = {
    lab,
    capture,
    cases,
    detours,
    ...createPromises(),
    async sending(what) {
      progress(what)
      await take()
      let since: Sent[] = senders.map(() => nothing)
      await awaitCondition(
        `each client to have sent ${enough} packets of each kind: ${what}`,
        async () => {
          const fresh = await take()
          since = since.map((before, index) => sumSent([before, fresh[index] ?? nothing]))
          if (since.every((each) => sentKinds.every((kind) => each[kind] >= enough))) return true
          throw new Error(JSON.stringify(since))
        },
        { timeoutMs: 60_000, intervalMs: 200 },
      )
    },
    renew: () => openDetours(lab, detours, [honest, rogue], rogue),
    use: (client, destinations) => of(client).use(destinations),
    async standard() {
      await Promise.all(senders.map((sender) => sender.use(standardOf(lab, detours, sender.client))))
    },
    closedFor(milliseconds) {
      closed = Math.round(milliseconds)
      line(`in place again after ${seconds(milliseconds)}`)
    },
    async play(item) {
      await openDetours(lab, detours, [honest, rogue], rogue)
      await take()
      sent = nothing
      closed = undefined
      // Agents that start and end between two cases may leak, too.
      const between = await capture.count()
      if (between.total > 0) {
        for (const sample of await capture.samples(8)) line(`leaked: ${sample}`)
        stage.promise(`before ${item.name}: ${between.total} packets leaked while all got ready again`, false)
      }
      await capture.reset()
      await item.play(stage)
      await take()
      const leaked = await capture.count()
      if (leaked.total > 0) for (const sample of await capture.samples(8)) line(`leaked: ${sample}`)
      progress('leaking on purpose')
      // In turn; routers and gateways have to refuse, unless they have no agents yet.
      const from = cases.length % 2 === 0 ? honest : rogue
      const seen = await capture.control(from)
      const control = { from, pods: seen.perPod[from] ?? 0, underlay: seen.underlay, internet: seen.internet }
      cases.push({
        case: item.name,
        sent,
        leaked_packets: leaked.total,
        control,
        ...(closed === undefined ? {} : { closed_ms: closed }),
      })
      stage.promise(
        `${item.name}: of ${sentKinds.map((kind) => `${sent[kind]} ${kind}`).join(', ')} packets ${leaked.total} leaked; ${
          control.pods + control.underlay + control.internet
        } leaked on purpose by ${from} were seen`,
        leaked.total === 0 && sentKinds.every((kind) => sent[kind] > 0),
      )
    },
    async close() {
      await Promise.all(senders.map((sender) => sender.stop()))
      await capture.stop()
    },
  }
  await openDetours(lab, detours, [honest, rogue], rogue)
  await stage.standard()
  return stage
}
