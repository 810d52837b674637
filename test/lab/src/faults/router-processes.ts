/** The processes of a router pod, found by the files that its agent and its daemons keep. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { processId } from '../pods/process.ts'
import { runDirectory } from '../paths.ts'

/** Processes of a router: its agent, and what the agent supervises. */
export const routerProcesses = ['agent', 'keepalived', 'vrrp', 'checkers', 'conntrackd'] as const
export type RouterProcess = (typeof routerProcesses)[number]

const pidFiles: Readonly<Record<Exclude<RouterProcess, 'agent'>, string>> = {
  keepalived: 'keepalived-parent.pid',
  vrrp: 'keepalived-vrrp.pid',
  checkers: 'keepalived-checkers.pid',
  conntrackd: 'conntrackd.pid',
}

/** Id of a process; throws when there is none. */
export function routerProcessId(router: string, which: RouterProcess): number {
  const pid = which === 'agent' ? processId(router) : readPid(join(runDirectory(router), pidFiles[which]))
  if (pid === undefined) throw new Error(`${router}: ${which} does not run`)
  return pid
}

function readPid(path: string): number | undefined {
  const pid = Number.parseInt(readFileSync(path, 'utf8'), 10)
  return Number.isInteger(pid) ? pid : undefined
}
