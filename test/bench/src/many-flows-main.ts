/**
 * Tens of thousands of UDP flows with few sockets: each socket speaks to each of the server's ports. Every answer is the
 * address that the server saw. Usage: bench-flows OPTIONS, a `ManyFlowsOptions` as JSON. Commands and answers are JSON
 * lines on standard input and output.
 */
import { createSocket, type Socket } from 'node:dgram'
import { createInterface } from 'node:readline'
import type { ManyFlowsCommand, ManyFlowsOptions, Opened, Touched } from './many-flows.ts'

/** Flows that wait for an answer at the same time. */
const atOnce = 128
/** Milliseconds until a datagram without an answer is sent again, and how often one is sent. */
const patience = 1000
const tries = 8
/** Flows without an answer after which the others are not asked any more: all of them would take hours. */
const mostSilent = 1000

const { host, firstPort, ports } = JSON.parse(process.argv[2] ?? '{}') as ManyFlowsOptions
const sockets: Socket[] = []
/** The exit of each flow that was opened. */
const exits: (string | undefined)[] = []
const line = Buffer.from('x\n')
let answered: (flow: number, exit: string) => void = () => undefined

async function openSocket(): Promise<void> {
  const place = sockets.length
  const socket = createSocket({
    type: 'udp4',
    // By default every datagram's address would be looked up in a queue of its own.
    lookup: (address, _, done) => done(null, address, 4),
  })
  sockets.push(socket)
  socket.on('message', (data, { port }) => answered(place * ports + port - firstPort, data.toString('latin1').trim()))
  // A refusal concerns one of its flows, which will be found without an answer.
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.bind(0, resolve))
}

const send = (flow: number): void => {
  sockets[Math.floor(flow / ports)]?.send(line, firstPort + (flow % ports), host)
}

/** Says something on each of these flows, and again where no answer comes; how many of these times that was. */
async function exchange(from: number, to: number, heard: (flow: number, exit: string) => void): Promise<number> {
  const waiting = new Map<number, { since: number; sent: number }>()
  let next = from
  let again = 0
  let silent = 0
  return new Promise((resolve) => {
    const proceed = (): void => {
      if (silent > mostSilent) next = to
      while (waiting.size < atOnce && next < to) {
        waiting.set(next, { since: performance.now(), sent: 1 })
        send(next)
        next += 1
      }
      if (waiting.size > 0 || next < to) return
      clearInterval(timer)
      answered = () => undefined
      resolve(again)
    }
    const timer = setInterval(() => {
      const now = performance.now()
      for (const [flow, state] of waiting) {
        if (now - state.since < patience) continue
        if (state.sent >= tries) {
          waiting.delete(flow)
          silent += 1
          continue
        }
        waiting.set(flow, { since: now, sent: state.sent + 1 })
        again += 1
        send(flow)
      }
      proceed()
    }, patience / 4)
    answered = (flow, exit) => {
      if (!waiting.delete(flow)) return
      heard(flow, exit)
      proceed()
    }
    proceed()
  })
}

async function open(flows: number): Promise<Opened> {
  const from = exits.length
  while (sockets.length < Math.ceil(flows / ports)) await openSocket()
  const began = performance.now()
  for (let flow = from; flow < flows; flow += 1) exits[flow] = undefined
  const again = await exchange(from, flows, (flow, exit) => (exits[flow] = exit))
  const failed = exits.slice(from).filter((exit) => exit === undefined).length
  return { opened: flows - from - failed, failed, again, milliseconds: performance.now() - began }
}

async function touch(): Promise<Touched> {
  const began = performance.now()
  let same = 0
  let moved = 0
  const again = await exchange(0, exits.length, (flow, exit) => {
    if (exits[flow] === exit) same += 1
    else moved += 1
  })
  return { same, moved, silent: exits.length - same - moved, again, milliseconds: performance.now() - began }
}

// Whoever steered this is gone.
process.stdout.on('error', () => process.exit(1))
for await (const text of createInterface({ input: process.stdin })) {
  const command = JSON.parse(text) as ManyFlowsCommand
  const answer = command.cmd === 'open' ? await open(command.flows) : await touch()
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
