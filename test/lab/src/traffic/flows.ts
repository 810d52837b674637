/** Steers a flow program that runs in a client's namespace. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { programPath } from '../paths.ts'
import { asTraffic } from '../pods/priority.ts'
import { echoPort, internetAddress } from '../topology/addresses.ts'
import type { FlowCommand, FlowEvent, FlowOptions, FlowReport } from './report.ts'

export interface StartFlowsOptions {
  /** Name of the client pod, or of another namespace. */
  client: string
  count: number
  /** Milliseconds between two lines of one flow. */
  intervalMs: number
  /** `tcp` unless said. */
  protocol?: 'tcp' | 'udp'
  /** Only the server speaks, after the client's first line; TCP only. No unless said. */
  push?: boolean
  /** Each flow ends with its first answer and another begins (`FlowOptions`); there is nothing to refill. No unless said. */
  brief?: boolean
  /** The other ends, taken in turn; the Internet host's echo unless said. */
  to?: { hosts: readonly string[]; port: number }
}

/** A running flow program. */
export interface Flows {
  client: string
  protocol: 'tcp' | 'udp'
  /** Starts a new observation: forgets losses, silences and answers so far. */
  mark(): Promise<void>
  /** What happened since the last mark. */
  report(): Promise<FlowReport>
  /** Opens a new flow for every lost one; says how many opened and the errors of the others. */
  refill(): Promise<{ opened: number; failed: string[] }>
  /** Ends the program and with it all flows. */
  stop(): Promise<void>
}

/** Milliseconds that the program may take for one command; opening flows takes longest, where the processor is emulated. */
const replyTimeoutMs = (flows: number): number => 60_000 + 100 * flows

/** Opens the flows and resolves once each had its first answer; rejects when one could not be opened. */
export async function startFlows({
  client,
  protocol = 'tcp',
  to = { hosts: [internetAddress], port: echoPort },
  ...pace
}: StartFlowsOptions): Promise<Flows> {
  const { count } = pace
  const options: FlowOptions = { protocol, ...to, ...pace }
  const flow = [process.execPath, programPath('lab-flows'), JSON.stringify(options)]
  const [program, ...argv] = asTraffic(['ip', 'netns', 'exec', client, ...flow])
  const child = spawn(program, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  child.stdin.on('error', () => undefined)
  const events: FlowEvent[] = []
  let wake: (() => void) | undefined
  createInterface({ input: child.stdout }).on('line', (line) => {
    events.push(JSON.parse(line) as FlowEvent)
    wake?.()
  })

  const next = async <E extends FlowEvent['event']>(wanted: E): Promise<Extract<FlowEvent, { event: E }>> => {
    for (;;) {
      const event = events.shift()
      if (event?.event === wanted) return event as Extract<FlowEvent, { event: E }>
      if (event !== undefined) continue
      await new Promise<void>((resolve, reject) => {
        const fail = (why: string): void => reject(new Error(`flows in ${client}: waiting for ${wanted}: ${why}`))
        const within = replyTimeoutMs(count)
        const timer = setTimeout(() => fail(`nothing for ${within / 1000} s`), within)
        const onExit = (): void => {
          clearTimeout(timer)
          fail('the program ended')
        }
        child.once('exit', onExit)
        wake = () => {
          clearTimeout(timer)
          child.off('exit', onExit)
          wake = undefined
          resolve()
        }
        if (child.exitCode !== null || child.signalCode !== null) onExit()
      })
    }
  }
  const tell = (command: FlowCommand): void => {
    child.stdin.write(`${JSON.stringify(command)}\n`)
  }
  const stop = async (): Promise<void> => {
    tell({ cmd: 'stop' })
    await exited
  }

  const ready = await next('ready')
  if (ready.failed.length > 0) {
    await stop()
    const reasons = [...new Set(ready.failed)].join(', ')
    throw new Error(`flows in ${client}: ${ready.failed.length} of ${count} could not be opened: ${reasons}`)
  }
  return {
    client,
    protocol,
    async mark() {
      tell({ cmd: 'mark' })
      await next('marked')
    },
    async report() {
      tell({ cmd: 'report' })
      return (await next('report')).report
    },
    async refill() {
      tell({ cmd: 'refill' })
      const { opened, failed } = await next('refilled')
      return { opened, failed }
    },
    stop,
  }
}
