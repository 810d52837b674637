/** What the flow program and whoever steers it tell each other: one JSON document a line. */

/** What the flow program is told when it starts. */
export interface FlowOptions {
  protocol: 'tcp' | 'udp'
  /** Addresses of the other ends, which the flows take in turn. */
  hosts: readonly string[]
  port: number
  /** Number of flows. */
  count: number
  /** Milliseconds between two lines of one flow. */
  intervalMs: number
  /** Only the other end speaks after the first line, TCP only: the client's silence heals nothing on the way. */
  push?: boolean
  /**
   * Each flow ends with its first answer and another one begins in its turn, `count` of them in each interval. Answers are
   * then connections that went well, and the lost ones those that did not; none counts that began before the last mark.
   */
  brief?: boolean
}

export type FlowCommand = { cmd: 'mark' } | { cmd: 'report' } | { cmd: 'refill' } | { cmd: 'stop' }

/** A flow that ended without being asked to. */
export interface LostFlow {
  /** Number of the flow, from 0. */
  flow: number
  /** Address that it had on the Internet, `first+second` if it had more; empty if it never had an answer. */
  exit: string
  /** Errno name, `ECONNRESET`; `closed` for an end without an error. */
  error: string
  /** Milliseconds since the last mark. */
  afterMs: number
}

/** A flow, open or lost since, whose other end saw it come from another address; UDP, which knows no reset. */
export interface MovedFlow {
  /** Number of the flow, from 0. */
  flow: number
  from: string
  to: string
  /** Milliseconds from the last mark to the first answer by the new one. */
  afterMs: number
}

/** What happened since the last mark. */
export interface FlowReport {
  flows: number
  /** Flows that are open; `stalled` ones are among them. */
  alive: number
  /** Flows lost since the last mark. */
  lost: number
  resets: LostFlow[]
  /** Each change of an exit; those of one flow in their order. */
  moves: MovedFlow[]
  /** Open flows for each exit address; a flow that changed its exit counts as `first+second`. */
  perExit: Record<string, number>
  /** Longest time in milliseconds that an open flow waited for an answer and got none, the one still going on included. */
  longestSilenceMs: number
  /** Open flows without an answer for more than `stalledAfterMs`. */
  stalled: number
  /** Lines answered since the last mark. */
  answers: number
}

/**
 * Milliseconds without an answer after which an open flow counts as stalled: three lines, and two seconds at least. TCP sends
 * a line again until it is answered, so that three seconds are enough of any pace; a datagram may be lost.
 */
export const stalledAfterMs = ({ protocol, intervalMs }: Pick<FlowOptions, 'protocol' | 'intervalMs'>): number =>
  protocol === 'tcp' ? Math.min(3000, Math.max(2000, 3 * intervalMs)) : Math.max(2000, 3 * intervalMs)

export type FlowEvent =
  | { event: 'ready'; opened: number; failed: string[] }
  | { event: 'marked' }
  | { event: 'report'; report: FlowReport }
  | { event: 'refilled'; opened: number; failed: string[] }

/** Adds up the reports of several flow programs; numbers of flows are those within each program. */
export function sumReports(reports: readonly FlowReport[]): FlowReport {
  const perExit: Record<string, number> = {}
  for (const report of reports) {
    for (const [exit, flows] of Object.entries(report.perExit)) perExit[exit] = (perExit[exit] ?? 0) + flows
  }
  const sum = (field: 'flows' | 'alive' | 'lost' | 'stalled' | 'answers'): number =>
    reports.reduce((total, report) => total + report[field], 0)
  return {
    flows: sum('flows'),
    alive: sum('alive'),
    lost: sum('lost'),
    resets: reports.flatMap((report) => report.resets),
    moves: reports.flatMap((report) => report.moves),
    perExit,
    longestSilenceMs: Math.max(0, ...reports.map((report) => report.longestSilenceMs)),
    stalled: sum('stalled'),
    answers: sum('answers'),
  }
}
