/** What the story, inside the machine, tells the screen outside: one JSON document a line. */

import type { Footprint, Sent } from '@vpn-gateway/lab'
import type { Round } from './chaos/catalog.ts'

/** Events of the demo, in their order. */
export type DemoEventName =
  | 'spread'
  | 'gateway-killed'
  | 'gateway-returned'
  | 'gateway-drained'
  | 'router-cut'
  | 'router-returned'
  | 'ingress'

/** One event of a story, with its figures. */
export interface StoryEvent {
  event: string
  /** Flows under way when it happened; for `ingress`, connections made. */
  flows: number
  /** Flows that ended or fell silent. */
  lost: number
  /** Longest time that a flow that went on waited for an answer; for `ingress`, the slowest whole request. */
  longest_silence_ms: number
  /** Packets of clients seen outside a tunnel. */
  leaked_packets: number
  /** Chaos: gateways whose flows may be lost. */
  may_lose?: string[]
  /** Chaos: seconds since the first round began. */
  at_s?: number
  /** Chaos: seconds from the last undoing until all was as before. */
  settled_after_s?: number
}

/** What a chaos run found, beside its rounds. */
export interface ChaosResult {
  /** What the faults were chosen by; absent where a trace was played. */
  seed?: number
  /** Each invariant with the rounds after which it was looked at, and what was wrong, one line each. */
  invariants: { name: string; looks: number; broken: string[] }[]
  /** The rounds that were played, as `--replay` takes them. */
  trace: Round[]
  /** What the system held after warming up, and at the end. */
  footprint?: { before: Footprint; after: Footprint }
}

export interface StoryResult {
  events: StoryEvent[]
  /** Exit address to flows. */
  spread: Record<string, number>
  /** Every promise held. */
  ok: boolean
  chaos?: ChaosResult
}

/** One case of the leak suite. */
export interface LeakCase {
  case: string
  /** Packets that the clients sent meanwhile, by kind; of TCP those that begin a connection. */
  sent: Sent
  /** Packets of clients seen outside a tunnel. */
  leaked_packets: number
  /** Packets that were leaked on purpose afterwards, by a client and its node, and seen, by place. */
  control: { from: string; pods: number; underlay: number; internet: number }
  /** Milliseconds from the fault, or from when its repair could begin, until all was in place again; where that is measured. */
  closed_ms?: number
}

export interface LeakResult {
  cases: LeakCase[]
  /** Every promise held. */
  ok: boolean
}

export type Message =
  /** A new part of the story and what it is about. */
  | { type: 'chapter'; title: string; text: string }
  /** What happens right now; replaces the last one. */
  | { type: 'progress'; text: string }
  /** Something that stays on the screen. */
  | { type: 'line'; text: string }
  /** One promise, whether it held, and whether it is about time, which a busy machine may break where the system does not. */
  | { type: 'promise'; text: string; held: boolean; timed: boolean }
  | { type: 'result'; result: StoryResult | LeakResult }
