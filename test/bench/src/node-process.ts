/** The node agent as a process with many peers: until all is there, and what it costs while nothing happens. */
import { setTimeout as delay } from 'node:timers/promises'
import { programFlags, programPath } from '@vpn-gateway/lab'
import { startAnswering } from './answering.ts'
import type { Figure } from './benchmark.ts'
import { processMegabytes, processSeconds } from './proc.ts'
import { median } from './statistics.ts'

const port = 9803
/** What it says once the kernel holds all; it is not ready where a module is missing that routers need. */
const converged = { port, path: '/metrics', says: '\nreconcile_converged 1\n' }

/** Measures with the peers of a system file, on a host that has none of the links; `label` says how many they are. */
export async function measureProcess(
  { config, directory, label }: { config: string; directory: string; label: string },
  { rounds, seconds }: { rounds: number; seconds: number },
  clean: () => Promise<void>,
): Promise<Figure[]> {
  const argv = [
    process.execPath,
    ...programFlags,
    programPath('node-agent'),
    '--config',
    config,
    '--name',
    'bench',
    '--listen',
    `127.0.0.1:${port}`,
    '--run-dir',
    directory,
  ]
  const times: number[] = []
  const memory: number[] = []
  let idle = Number.NaN
  for (let round = 1; round <= rounds; round += 1) {
    const agent = await startAnswering(argv, process.env, converged)
    times.push(agent.milliseconds)
    if (round === rounds) {
      const [used, from] = [processSeconds(agent.pid), performance.now()]
      await delay(seconds * 1000)
      idle = (processSeconds(agent.pid) - used) / ((performance.now() - from) / 1000)
    }
    memory.push(processMegabytes(agent.pid, 'VmRSS'))
    await agent.end()
    await clean()
  }
  return [
    {
      figure: `${label}: process to converged`,
      value: median(times),
      unit: 'ms',
      method: `median of ${rounds}: from the start of the agent's process, nothing being there, until its metrics say that the kernel holds everything`,
    },
    {
      figure: `${label}: resident memory`,
      value: median(memory),
      unit: 'MB',
      method: `median of ${rounds}: VmRSS of that process`,
    },
    {
      figure: `${label}: idle processor time`,
      value: 100 * idle,
      unit: '%',
      method: `of one processor over ${seconds} s in which nothing changes, the commands that it runs included`,
    },
  ]
}
