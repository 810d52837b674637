/** What a story inside the machine is told by whoever starts it, which has checked it. */
import { parseArgs } from 'node:util'

export interface StoryArguments {
  /** Long-lived flows. */
  flows: number
  /** Directory that gets the agents' logs. */
  logs?: string
  /** Of the failover's scenarios or the leak suite's cases, those whose names contain one of these; empty: all. */
  only: readonly string[]
  /** Chaos: minutes in which rounds begin. */
  minutes: number
  /** Chaos: what the faults are chosen by. */
  seed: number
  /** Chaos: file of a trace to play in place of chosen faults. */
  replay?: string
}

/** Reads a story's arguments. */
export function readStoryArguments(args: readonly string[]): StoryArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      flows: { type: 'string', default: '300' },
      logs: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string', default: '0' },
      replay: { type: 'string' },
    },
  })
  const { flows, minutes, seed, ...rest } = values
  return { ...rest, flows: Number(flows), minutes: Number(minutes), seed: Number(seed) }
}
