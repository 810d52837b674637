/** The lab with flows running through it, watched: what every story of it needs. */
import { setTimeout as delay } from 'node:timers/promises'
import { sumReports, type Capture, type FlowReport, type Flows, type Lab } from '@vpn-gateway/lab'
import type { ChaosResult, Message, StoryEvent } from './message.ts'

export const clients = ['client-0', 'client-1'] as const

export const tell = (message: Message) => void process.stdout.write(`${JSON.stringify(message)}\n`)
export const chapter = (title: string, text: string) => tell({ type: 'chapter', title, text })
export const progress = (text: string) => tell({ type: 'progress', text })
export const line = (text: string) => tell({ type: 'line', text })
export const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(1)} s`

/**
 * Milliseconds between two lines of one flow. Flows take turns, so that two hundred of them look at the path every five
 * milliseconds; a thousand are as many lines a second, which is what an emulated processor carries.
 */
export const paceOf = (flows: number): number => Math.max(1000, flows * 5)

export interface Stage {
  lab: Lab
  flows: Flows[]
  /** Flows that should be there. */
  flowCount: number
  /** Of these, how many are TCP. */
  tcpFlows: number
  /** Milliseconds between two lines of one flow. */
  intervalMs: number
  events: StoryEvent[]
  /** Exit address to flows, once measured. */
  spread: Record<string, number>
  /** What a chaos run has found so far. */
  chaos?: ChaosResult
  /** Promises that were broken so far. */
  broken(): number
  /** Says whether a promise held; `timed` ones are about time, which a busy machine may break where the system does not. */
  promise(text: string, held: boolean, timed?: boolean): void
  /** When the current observation began, by performance.now(): each flow program's own beginning lies between the two. */
  readonly marked: { from: number; to: number }
  /** Starts a new observation after what was lost before is open again; the number of flows. */
  mark(): Promise<number>
  report(): Promise<FlowReport>
  /** Lets time pass under observation, showing how the flows are. */
  watch(forSeconds: number, what: string): Promise<FlowReport>
  /** Adds a line to the closing table, with what leaked since the last one. */
  record(event: string, flows: number, report: FlowReport): Promise<StoryEvent>
  /** Leaks since the last call. */
  leaks(): Promise<number>
  /** Ends the flows; the number of packets leaked in all. */
  close(): Promise<number>
}

export interface StageOptions {
  lab: Lab
  capture: Capture
  flowCount: number
  /** Milliseconds between two lines of one flow. */
  intervalMs: number
  /** Some of the flows are UDP. */
  udpFlows?: number
}

/** Counts the promises that were broken and tells of each. */
export function createPromises(): Pick<Stage, 'promise' | 'broken'> {
  let broken = 0
  return {
    broken: () => broken,
    promise(text, held, timed = false) {
      if (!held) broken += 1
      tell({ type: 'promise', text, held, timed })
    },
  }
}

/** Shows that the capture sees a leak where one could be. */
export async function controlCapture(capture: Capture): Promise<void> {
  chapter(
    'A capture that would see a leak',
    "Watched: what leaves any pod's eth0 that is neither WireGuard nor cluster traffic, what is on the underlay and not VXLAN, and what reaches the internet from anyone but the exits.",
  )
  progress('leaking packets on purpose')
  await capture.control(clients[0])
  line(`packets of every kind leaked on purpose from ${clients[0]} and its node: seen at all places, forgotten again`)
}

/** Opens the flows, evenly over the clients. */
export async function openStage({ lab, capture, flowCount, intervalMs, udpFlows = 0 }: StageOptions): Promise<Stage> {
  progress('opening the flows')
  const open = (protocol: 'tcp' | 'udp', total: number) => {
    const share = Math.ceil(total / clients.length)
    return clients.map((client, index) => ({
      client,
      protocol,
      intervalMs,
      count: Math.max(0, Math.min(share, total - index * share)),
    }))
  }
  const wanted = [...open('tcp', flowCount - udpFlows), ...open('udp', udpFlows)].filter(({ count }) => count > 0)
  const flows = await Promise.all(wanted.map((options) => lab.startFlows(options)))
  const events: StoryEvent[] = []
  let leakedBefore = 0
  let marked = { from: performance.now(), to: performance.now() }

  const report = async () => sumReports(await Promise.all(flows.map((flow) => flow.report())))
  const leaks = async () => {
    const { total } = await capture.count()
    const fresh = total - leakedBefore
    leakedBefore = total
    return fresh
  }
  return {
    lab,
    flows,
    flowCount,
    tcpFlows: flowCount - udpFlows,
    intervalMs,
    events,
    spread: {},
    ...createPromises(),
    get marked() {
      return marked
    },
    async mark() {
      progress('what was lost connects again')
      const results = await Promise.all(flows.map((flow) => flow.refill()))
      const opened = results.reduce((sum, result) => sum + result.opened, 0)
      if (opened > 0) line(`${opened} connected again`)
      const from = performance.now()
      await Promise.all(flows.map((flow) => flow.mark()))
      marked = { from, to: performance.now() }
      return (await report()).alive
    },
    report,
    async watch(forSeconds, what) {
      const end = performance.now() + forSeconds * 1000
      let seen = await report()
      while (performance.now() < end) {
        progress(`${what}: ${seen.alive} flows alive, ${seen.lost} lost, ${seen.stalled} silent`)
        await delay(Math.min(1000, Math.max(0, end - performance.now())))
        seen = await report()
      }
      return seen
    },
    async record(event, count, seen) {
      const entry: StoryEvent = {
        event,
        flows: count,
        lost: seen.lost + seen.stalled,
        longest_silence_ms: Math.round(seen.longestSilenceMs),
        leaked_packets: await leaks(),
      }
      events.push(entry)
      line(
        `${count} flows, ${entry.lost} lost, longest silence of the others ${seconds(entry.longest_silence_ms)}, ${entry.leaked_packets} packets leaked`,
      )
      return entry
    },
    leaks,
    async close() {
      progress('ending the flows')
      await Promise.all(flows.map((flow) => flow.stop()))
      const leaked = (await capture.count()).total
      if (leaked > 0) for (const sample of await capture.samples()) line(`leaked: ${sample}`)
      return leaked
    },
  }
}
