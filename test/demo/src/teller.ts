/** What all stories have in common: the lab comes up, flows run, something is told about them, everything goes away. */
import { cp } from 'node:fs/promises'
import { LOG_DIR, bringUp, takeDown } from '@vpn-gateway/lab'
import type { StoryResult } from './message.ts'
import { readStoryArguments, type StoryArguments } from './story-arguments.ts'
import { chapter, clients, controlCapture, line, openStage, seconds, tell, type Stage } from './stage.ts'

export interface StoryOptions {
  /** Milliseconds between two lines of one flow, given the number of flows. */
  intervalMs: (flows: number) => number
  /** Fraction of the flows that are UDP; none unless said. */
  udpShare?: number
}

/** Tells a story inside the machine and ends the process. What was measured is told even where the plot fails. */
export async function tellStory(
  { intervalMs: intervalOf, udpShare = 0 }: StoryOptions,
  plot: (stage: Stage, told: StoryArguments) => Promise<void>,
): Promise<never> {
  const told = readStoryArguments(process.argv.slice(2))
  const keepLogs = async () => {
    if (told.logs !== undefined) await cp(LOG_DIR, told.logs, { recursive: true }).catch(() => undefined)
  }
  let stage: Stage | undefined
  const measured = (): Omit<StoryResult, 'ok'> => ({
    events: stage?.events ?? [],
    spread: stage?.spread ?? {},
    ...(stage?.chaos === undefined ? {} : { chaos: stage.chaos }),
  })
  const tellAll = async (): Promise<StoryResult> => {
    chapter(
      'The system comes up',
      'Two nodes, three VPN providers, an internet: each a network namespace on a kernel of its own.',
    )
    const lab = await bringUp({ onStep: (step, elapsed) => line(`${seconds(elapsed).padStart(7)}  ${step}`) })
    const capture = await lab.startCapture()
    await controlCapture(lab, capture)
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
    await keepLogs()
    await takeDown()
    stage.promise(
      'not one packet outside a tunnel',
      stage.events.every((event) => event.leaked_packets === 0) && leaked === 0,
    )
    return { ...measured(), ok: stage.broken() === 0 }
  }
  try {
    tell({ type: 'result', result: await tellAll() })
  } catch (error) {
    await keepLogs()
    line(error instanceof Error ? error.message : String(error))
    tell({ type: 'result', result: { ...measured(), ok: false } })
    process.exitCode = 1
  }
  // What a failed step left open must not keep the story from ending; standard output has been written (a pipe is synchronous).
  process.exit()
}
