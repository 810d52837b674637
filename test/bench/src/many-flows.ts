/** Steers a program with tens of thousands of UDP flows, and the server that answers them. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { awaitCondition, programFlags, programPath, startProcess, type Lab } from '@vpn-gateway/lab'

export interface ManyFlowsOptions {
  host: string
  firstPort: number
  /** Ports of the server, and so flows of one socket. */
  ports: number
}

export type ManyFlowsCommand = { cmd: 'open'; flows: number } | { cmd: 'touch' }

export interface Opened {
  opened: number
  /** Flows without any answer. */
  failed: number
  /** Datagrams that had to be sent again. */
  again: number
  milliseconds: number
}

/** What became of a datagram on each flow. */
export interface Touched {
  /** Answered through the exit that the flow began with. */
  same: number
  /** Answered through another exit. */
  moved: number
  silent: number
  again: number
  milliseconds: number
}

export interface ManyFlows {
  /** Opens new flows as fast as they are answered, until there are so many in all. */
  open(flows: number): Promise<Opened>
  /** Sends a datagram on each flow, as fast as they are answered. */
  touch(): Promise<Touched>
  stop(): void
}

const firstPort = 20_000
const ports = 200

/** Has the Internet host answer under one of its addresses, on all ports that flows go to. */
export async function startAnswers(lab: Lab, address: string): Promise<void> {
  const listeners = Array.from({ length: ports }, (_, index) => `udp/${firstPort + index}`)
  const argv = [process.execPath, ...programFlags, programPath('lab-answer'), address, ...listeners]
  startProcess({ name: `answers-${address}`, namespace: 'internet', argv })
  await awaitCondition(
    `answers at ${address}`,
    async () => {
      const text = await lab.exec('internet', ['ss', '-lunH', 'src', address])
      return text.split('\n').filter(Boolean).length >= ports || undefined
    },
    { timeoutMs: 60_000 },
  )
}

/** Starts the program in a client's namespace; it opens nothing by itself. */
export function startManyFlows(client: string, host: string): ManyFlows {
  const options: ManyFlowsOptions = { host, firstPort, ports }
  const child = spawn(
    'ip',
    ['netns', 'exec', client, process.execPath, programPath('bench-flows'), JSON.stringify(options)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ask = async <T>(command: ManyFlowsCommand): Promise<T> => {
    child.stdin.write(`${JSON.stringify(command)}\n`)
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`flows in ${client}: the program ended`)
    return JSON.parse(value) as T
  }
  return {
    open: (flows) => ask({ cmd: 'open', flows }),
    touch: () => ask({ cmd: 'touch' }),
    stop: () => child.stdin.end(),
  }
}
