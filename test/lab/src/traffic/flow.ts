/** One long-lived flow, TCP or UDP, with what is known of its answers. */
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { FlowOptions } from './report.ts'

/** Milliseconds until a flow that gets no answer to its first line counts as failed: three SYN retransmissions. */
const OPEN_TIMEOUT_MS = 10_000
/** Milliseconds after which the first datagram of a UDP flow is sent again while there is no answer. */
const RETRY_MS = 1000

export interface Flow {
  /** The addresses that the other end saw, each time another one than before. */
  exits: string[]
  /** Times (performance.now) at which it saw each but the first of them. */
  movedAt: number[]
  /** Time (performance.now) of the last answer; 0 before the first. */
  lastAnswer: number
  /** Lines that are not answered yet. */
  waiting: number
  /**
   * Time since which at least one line has had no answer and none came, or since which the next one that the other end sends
   * by itself is due; 0 while nothing is waiting.
   */
  waitingSince: number
  /** Longest such time in milliseconds since it was last set to 0. */
  longestSilence: number
  /** Answers since it was last set to 0. */
  answers: number
  open: boolean
  /** Errno name or `closed`, once lost. */
  error: string
  send: () => void
  close: () => void
}

// One buffer for all flows: an answer is looked at before the next one is read.
const shared = Buffer.alloc(2048)
const LINE = Buffer.from('x\n')

/** Where one flow goes, and how. */
export type OneFlow = Pick<FlowOptions, 'protocol' | 'port' | 'intervalMs' | 'push'> & { host: string }

/** Opens a flow; resolves with it after its first answer, or with a lost flow. `onLost` is told once if it ends later. */
export function openFlow(options: OneFlow, onLost: (flow: Flow) => void): Promise<Flow> {
  return new Promise((resolve) => {
    const flow: Flow = {
      exits: [],
      movedAt: [],
      lastAnswer: 0,
      waiting: 0,
      waitingSince: 0,
      longestSilence: 0,
      answers: 0,
      open: true,
      error: '',
      send: () => undefined,
      close: () => undefined,
    }
    let opened = false
    const lose = (error: string): void => {
      clearTimeout(timer)
      if (!flow.open) return
      flow.open = false
      flow.error = error
      if (opened) onLost(flow)
      else resolve(flow)
    }
    const timer = setTimeout(() => {
      lose('ETIMEDOUT')
      flow.close()
    }, OPEN_TIMEOUT_MS)
    const answered = (length: number, data: Buffer): void => {
      const now = performance.now()
      const lines = countLines(data, length)
      flow.answers += lines
      if (opened && flow.waitingSince !== 0)
        flow.longestSilence = Math.max(flow.longestSilence, now - flow.waitingSince)
      // A datagram may be lost for good; whatever answer comes ends the silence.
      flow.waiting = options.protocol === 'udp' ? 0 : Math.max(0, flow.waiting - lines)
      if (options.push === true) flow.waitingSince = now + options.intervalMs
      else flow.waitingSince = flow.waiting === 0 ? 0 : now
      flow.lastAnswer = now
      noteExit(flow, data, length)
      if (opened) return
      opened = true
      clearTimeout(timer)
      resolve(flow)
    }
    if (options.protocol === 'tcp') openTcp(flow, options, answered, lose)
    else openUdp(flow, options, answered, lose)
  })
}

/** Notes that a line goes out; the silence of a flow is the time that it waits for an answer. */
function noteSent(flow: Flow): void {
  if (flow.waiting === 0) flow.waitingSince = performance.now()
  flow.waiting += 1
}

function countLines(data: Buffer, length: number): number {
  let lines = 0
  for (let at = data.indexOf(10); at !== -1 && at < length; at = data.indexOf(10, at + 1)) lines += 1
  return lines
}

type Answered = (length: number, data: Buffer) => void
type Lose = (error: string) => void

function openTcp(flow: Flow, options: OneFlow, answered: Answered, lose: Lose): void {
  const { host, port, push = false, intervalMs } = options
  const socket = connect({
    host,
    port,
    noDelay: true,
    onread: {
      buffer: shared,
      callback(length, data) {
        answered(length, data as Buffer)
        return true
      },
    },
  })
  const speak = (line: Buffer | string): void => {
    noteSent(flow)
    socket.write(line)
  }
  if (!push) flow.send = () => speak(LINE)
  flow.close = () => socket.destroy()
  socket.on('connect', () => speak(push ? `push ${intervalMs}\n` : LINE))
  socket.on('error', (error: NodeJS.ErrnoException) => lose(error.code ?? error.message))
  socket.on('close', () => lose('closed'))
}

function openUdp(flow: Flow, { host, port }: OneFlow, answered: Answered, lose: Lose): void {
  const socket = createSocket('udp4')
  let closed = false
  flow.close = () => {
    if (closed) return
    closed = true
    socket.close()
  }
  socket.on('error', (error: NodeJS.ErrnoException) => {
    lose(error.code ?? error.message)
    flow.close()
  })
  socket.on('message', (data) => answered(data.length, data))
  // Nobody else sends the first datagram again; where it is answered, what follows says whether others are.
  const again = setInterval(() => {
    if (closed || flow.exits.length > 0) clearInterval(again)
    else flow.send()
  }, RETRY_MS)
  // Connected, so that ICMP errors come back as ECONNREFUSED and the like (udp(7)).
  socket.connect(port, host, () => {
    flow.send = () => {
      if (closed) return
      noteSent(flow)
      socket.send(LINE)
    }
    flow.send()
  })
}

/** Looks at the first line of an answer; several lines that came in one piece say the same. */
function noteExit(flow: Flow, data: Buffer, length: number): void {
  const known = flow.exits.at(-1)
  const end = data.indexOf(10)
  const size = end === -1 || end >= length ? length : end
  const exit = data.toString('latin1', 0, size)
  if (exit === known) return
  if (known !== undefined) flow.movedAt.push(flow.lastAnswer)
  flow.exits.push(exit)
}
