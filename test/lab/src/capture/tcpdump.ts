/** One tcpdump that writes what its filter matches, and that can say when it has written all of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { asTraffic } from '../pods/priority.ts'
import { awaitCondition } from '../wait.ts'
import { parsePcap } from './pcap.ts'
import type { CapturedPacket } from './pcap.ts'

export interface TcpdumpOptions {
  namespace: string
  /** Device, or `any` for all; the packets then carry their interface's index. */
  device: string
  filter: string
  file: string
}

interface Captured {
  /** All packets so far, those included that the kernel has matched but tcpdump had not yet written. */
  packets: CapturedPacket[]
  /** Number of packets that matched but for which the kernel had no room. */
  missed: number
}

export interface Tcpdump {
  captured(): Promise<Captured>
  stop(): Promise<void>
}

/** Starts capturing; resolves once every packet from now on is seen. */
export async function startTcpdump({ namespace, device, filter, file }: TcpdumpOptions): Promise<Tcpdump> {
  const linkType = device === 'any' ? ['-y', 'LINUX_SLL2'] : []
  // The buffer holds as many packets as snapshots of full length fit in; nobody looks at more than 256 bytes.
  const sizes = ['-s', '256', '-B', '4096']
  const argv = ['-i', device, ...linkType, ...sizes, '-n', '-p', '-U', '--immediate-mode', '-Z', 'root', '-w', file]
  const [program, ...rest] = asTraffic(['ip', 'netns', 'exec', namespace, 'tcpdump', ...argv, filter])
  const child = spawn(program, rest, {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  const said: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line))
  const what = `tcpdump on ${device} in ${namespace}`
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null
  await awaitCondition(
    `${what} to listen`,
    () => {
      if (ended()) throw new Error(said.join(' '))
      return said.some((line) => line.includes('listening on')) ? true : undefined
    },
    { timeoutMs: 20_000, intervalMs: 20 },
  )

  /** On SIGUSR1 tcpdump prints three lines: written, matched by the filter (written or not), dropped by the kernel. */
  const counts = async (): Promise<{ captured: number; received: number; dropped: number }> => {
    const from = said.length
    child.kill('SIGUSR1')
    return awaitCondition(
      `${what} to print its counts`,
      () => {
        if (ended()) throw new Error(`it ended: ${said.slice(-3).join(' ')}`)
        const text = said.slice(from).join('\n')
        const number = (pattern: RegExp): number | undefined => {
          const match = pattern.exec(text)
          return match === null ? undefined : Number(match[1])
        }
        const captured = number(/(\d+) packets? captured/)
        const received = number(/(\d+) packets? received by filter/)
        const dropped = number(/(\d+) packets? dropped by kernel/)
        return captured === undefined || received === undefined || dropped === undefined
          ? undefined
          : { captured, received, dropped }
      },
      { timeoutMs: 10_000, intervalMs: 10 },
    )
  }

  // What came between tcpdump's opening the socket and its setting the filter counts as received, and is thrown away.
  let discarded = -1
  await awaitCondition(
    `${what} to settle`,
    async () => {
      const { captured, received, dropped } = await counts()
      const before = discarded
      discarded = received - captured - dropped
      return discarded === before ? true : undefined
    },
    { timeoutMs: 20_000, intervalMs: 50 },
  )

  return {
    async captured() {
      const missed = await awaitCondition(
        `${what} to write what it has matched`,
        async () => {
          const { captured, received, dropped } = await counts()
          if (received - captured - dropped === discarded) return dropped
          throw new Error(
            `${received} packets matched, ${captured} written, ${dropped} dropped, ${discarded} discarded`,
          )
        },
        { timeoutMs: 20_000, intervalMs: 20 },
      )
      return { packets: parsePcap(await readFile(file)), missed }
    },
    async stop() {
      if (!ended()) child.kill('SIGTERM')
      await exited
    },
  }
}
