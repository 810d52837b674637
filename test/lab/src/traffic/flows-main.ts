/**
 * Keeps many long-lived flows open, sends a short line on each at an even pace and knows what became of them.
 * Usage: lab-flows OPTIONS, a `FlowOptions` as JSON. Commands and events are JSON lines on standard input and output.
 */
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { openFlow } from './flow.ts'
import type { Flow, OneFlow } from './flow.ts'
import { stalledAfterMs } from './report.ts'
import type { FlowCommand, FlowEvent, FlowOptions, FlowReport, LostFlow, MovedFlow } from './report.ts'

/** Most milliseconds between two looks at which flows are due: each costs, and answers are timed from when a line was sent. */
const TICK_MS = 40
/** Flows that are opened at the same time; the next ones follow as these get their first answer. */
const OPENING_AT_ONCE = 10

/**
 * Milliseconds between two openings: thousands at once would be a test of how fast routers tell each other of new flows,
 * with a processor that is emulated.
 */
const OPENING_EVERY_MS = 40

const options = JSON.parse(process.argv[2] ?? '{}') as FlowOptions
const flows: (Flow | undefined)[] = Array.from({ length: options.count }, () => undefined)
let losses: LostFlow[] = []
/** Moves of flows that were lost. */
let movesOfLost: MovedFlow[] = []
let markedAt = performance.now()
/** Brief flows that went well since the last mark. */
let completed = 0

const say = (event: FlowEvent): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

const flowOptions = (index: number): OneFlow => ({
  ...options,
  host: options.hosts[index % options.hosts.length] ?? '',
})

const isOpen = (flow: Flow | undefined): flow is Flow => flow?.open === true

/** How a flow changed its exit since the last mark. */
const movesOf = ({ exits, movedAt }: Flow, flow: number): MovedFlow[] =>
  movedAt.map((at, move) => ({
    flow,
    from: exits[move] ?? '',
    to: exits[move + 1] ?? '',
    afterMs: Math.round(at - markedAt),
  }))

/** Opens every flow that is not open; returns how many opened and why others did not. */
async function openMissing(): Promise<{ opened: number; failed: string[] }> {
  const missing = [...flows.keys()].filter((index) => !isOpen(flows[index]))
  const failed: string[] = []
  const next = missing.values()
  let turnAt = performance.now()
  const worker = async (): Promise<void> => {
    for (const index of next) {
      const turn = (turnAt += OPENING_EVERY_MS)
      await delay(Math.max(0, turn - performance.now()))
      const flow = await openFlow(flowOptions(index), (lost) => {
        movesOfLost.push(...movesOf(lost, index))
        losses.push({
          flow: index,
          exit: lost.exits.join('+'),
          error: lost.error,
          afterMs: Math.round(performance.now() - markedAt),
        })
      })
      flows[index] = flow
      if (!flow.open) failed.push(flow.error)
    }
  }
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, worker))
  return { opened: missing.length - failed.length, failed }
}

/** Sends the lines that are due, the flows evenly spread over the interval. */
function sendForever(): void {
  const started = performance.now()
  let sent = 0
  // A flow that sends more often than that has to be looked at as often.
  const tickMs = Math.min(TICK_MS, options.intervalMs)
  setInterval(() => {
    const due = Math.floor(((performance.now() - started) * options.count) / options.intervalMs)
    // After a long pause of this process itself there is nothing to catch up with.
    sent = Math.max(sent, due - options.count)
    for (; sent < due; sent += 1) {
      const flow = flows[sent % options.count]
      if (isOpen(flow)) flow.send()
    }
  }, tickMs)
}

/** Opens flows that end with their first answer, one after the other at an even pace, also while some get none. */
async function connectForever(): Promise<void> {
  for (let index = 0; ; index += 1) {
    void connect(index)
    await delay(options.intervalMs / options.count)
  }
}

async function connect(index: number): Promise<void> {
  const began = performance.now()
  const flow = await openFlow(flowOptions(index), () => undefined)
  const { open, error } = flow
  flow.close()
  if (began < markedAt) return
  if (open) completed += 1
  else losses.push({ flow: index % options.count, exit: '', error, afterMs: Math.round(performance.now() - markedAt) })
}

function mark(): void {
  markedAt = performance.now()
  losses = []
  movesOfLost = []
  completed = 0
  for (const flow of flows) {
    if (flow === undefined) continue
    flow.longestSilence = 0
    flow.answers = 0
    flow.exits = flow.exits.slice(-1)
    flow.movedAt = []
  }
}

function report(): FlowReport {
  const now = performance.now()
  const open = flows.filter(isOpen)
  const perExit: Record<string, number> = {}
  let longest = 0
  let stalled = 0
  for (const flow of open) {
    const exit = flow.exits.join('+')
    perExit[exit] = (perExit[exit] ?? 0) + 1
    const silence = flow.waitingSince === 0 ? 0 : now - flow.waitingSince
    longest = Math.max(longest, flow.longestSilence, silence)
    if (silence > stalledAfterMs(options)) stalled += 1
  }
  return {
    flows: options.count,
    alive: open.length,
    lost: losses.length,
    resets: losses,
    moves: [...movesOfLost, ...flows.flatMap((flow, index) => (isOpen(flow) ? movesOf(flow, index) : []))],
    perExit,
    longestSilenceMs: Math.round(longest),
    stalled,
    answers: flows.reduce((total, flow) => total + (flow?.answers ?? 0), completed),
  }
}

async function obey(command: FlowCommand): Promise<void> {
  switch (command.cmd) {
    case 'mark':
      mark()
      say({ event: 'marked' })
      return
    case 'report':
      say({ event: 'report', report: report() })
      return
    case 'refill':
      say({ event: 'refilled', ...(await openMissing()) })
      return
    case 'stop':
      process.exit(0)
  }
}

async function main(): Promise<void> {
  // Whoever steered this is gone.
  process.stdout.on('error', () => process.exit(1))
  if (options.brief === true) {
    void connectForever()
    say({ event: 'ready', opened: 0, failed: [] })
  } else {
    sendForever()
    say({ event: 'ready', ...(await openMissing()) })
  }
  mark()
  for await (const line of createInterface({ input: process.stdin })) await obey(JSON.parse(line) as FlowCommand)
  process.exit(0)
}

await main()
