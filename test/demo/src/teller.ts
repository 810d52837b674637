/** What all stories have in common: the lab comes up, something is told about it, everything goes away. */
import { cp } from 'node:fs/promises'
import { LOG_DIR, bringUp, takeDown, type BringUpOptions, type Lab } from '@vpn-gateway/lab'
import type { LeakResult, StoryResult } from './message.ts'
import { readStoryArguments, type StoryArguments } from './story-arguments.ts'
import { chapter, clients, controlCapture, line, openStage, seconds, tell, type Stage } from './stage.ts'

export interface StoryOptions {
  /** Milliseconds between two lines of one flow, given the number of flows. */
  intervalMs: (flows: number) => number
  /** Fraction of the flows that are UDP; none unless said. */
  udpShare?: number
  /** System file that the lab comes up with; the published one unless said. */
  systemFile?: string
  /** What `only` chooses from: a mistake in it is told before anything is made. */
  scenarios?: readonly { name: string }[]
}

/** Those whose names contain one of the texts, or all; throws an error that lists the names where a text is in none. */
export function chosenBy<T extends { name: string }>(only: readonly string[], all: readonly T[]): readonly T[] {
  const unknown = only.find((text) => !all.some(({ name }) => name.includes(text)))
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: expected one of ${all.map(({ name }) => name).join(', ')}`)
  }
  return all.filter(({ name }) => only.length === 0 || only.some((text) => name.includes(text)))
}

/** The first chapter of every story. */
export function bringLabUp(options: Pick<BringUpOptions, 'beforeAgents' | 'systemFile'> = {}): Promise<Lab> {
  chapter(
    'The system comes up',
    'Two nodes, three VPN providers, an internet: each a network namespace on a kernel of its own.',
  )
  return bringUp({
    ...options,
    onStep: (step, elapsed) => line(`${seconds(elapsed).padStart(7)}  ${step}`),
  })
}

/**
 * Tells inside the machine and ends the process. `plot` leaves a lab that nobody uses any more, and says what held;
 * `measured` is told even where the plot fails.
 */
export async function tellAll(
  plot: (told: StoryArguments) => Promise<boolean>,
  measured: (ok: boolean) => StoryResult | LeakResult,
): Promise<never> {
  const told = readStoryArguments(process.argv.slice(2))
  const keepLogs = async () => {
    if (told.logs !== undefined) await cp(LOG_DIR, told.logs, { recursive: true }).catch(() => undefined)
  }
  try {
    const ok = await plot(told)
    await keepLogs()
    await takeDown()
    tell({ type: 'result', result: measured(ok) })
  } catch (error) {
    await keepLogs()
    line(error instanceof Error ? error.message : String(error))
    tell({ type: 'result', result: measured(false) })
    process.exitCode = 1
  }
  // What a failed step left open must not keep the story from ending; standard output has been written (a pipe is synchronous).
  process.exit()
}

/** Tells a story about flows that run through the system. */
export function tellStory(
  { intervalMs: intervalOf, udpShare = 0, systemFile, scenarios = [] }: StoryOptions,
  plot: (stage: Stage, told: StoryArguments) => Promise<void>,
): Promise<never> {
  let stage: Stage | undefined
  return tellAll(
    async (told) => {
      if (scenarios.length > 0) chosenBy(told.only, scenarios)
      const lab = await bringLabUp(systemFile === undefined ? {} : { systemFile })
      const capture = await lab.startCapture()
      await controlCapture(capture)
      const flowCount = told.flows
      const intervalMs = intervalOf(flowCount)
      const udpFlows = Math.round(flowCount * udpShare)
      chapter(
        `${flowCount} flows`,
        `${clients.length} clients hold long-lived ${udpFlows > 0 ? 'TCP and UDP' : 'TCP'} connections to the internet and send a line on each every ${intervalMs} ms. They have routes, nothing else.`,
      )
      stage = await openStage({ lab, capture, flowCount, intervalMs, udpFlows })
      await plot(stage, told)
      const leaked = await stage.close()
      await capture.stop()
      lab.close()
      stage.promise(
        'not one packet outside a tunnel',
        stage.events.every((event) => event.leaked_packets === 0) && leaked === 0,
      )
      return stage.broken() === 0
    },
    (ok) => ({
      events: stage?.events ?? [],
      spread: stage?.spread ?? {},
      ok,
      ...(stage?.chaos === undefined ? {} : { chaos: stage.chaos }),
    }),
  )
}
