/** Where the lab keeps what outlives one command, and where the repository is. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Everything of a running lab that is not in the kernel; on a tmpfs, gone with the machine. */
export const LAB_DIR = '/run/vpn-gateway-lab'
export const STATE_FILE = join(LAB_DIR, 'state.json')
/** The system file that the agents read: as a mounted ConfigMap, in a directory of its own. */
export const SYSTEM_FILE = join(LAB_DIR, 'system', 'vpn-gateway.yaml')
/** One file per process, `NAME.log`. */
export const LOG_DIR = join(LAB_DIR, 'log')
export const PID_DIR = join(LAB_DIR, 'pid')
/** Providers' wg-quick files, readable by root only. */
export const TUNNEL_DIR = join(LAB_DIR, 'tunnel')
/** host-local's leases; shared by the nodes, as whereabouts' are by the cluster. */
export const LEASE_DIR = join(LAB_DIR, 'lease')
export const CAPTURE_DIR = join(LAB_DIR, 'capture')

/** Run directory of one agent. */
export const runDirectory = (name: string): string => join(LAB_DIR, 'run', name)

/** The repository's root: the nearest directory above this file that has the workspace file. */
export function repositoryRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'pnpm-workspace.yaml'))) {
    const parent = dirname(directory)
    if (parent === directory) throw new Error(`no pnpm-workspace.yaml above ${fileURLToPath(import.meta.url)}`)
    directory = parent
  }
  return directory
}

/** Path of a bundled program; `pnpm build` makes it. */
export function programPath(name: string): string {
  const path = join(repositoryRoot(), 'dist', `${name}.mjs`)
  if (!existsSync(path)) throw new Error(`${path} is missing: run pnpm build`)
  return path
}

/**
 * Flags that the programs run with. A flag that changes what V8 compiles would make it throw away the compiled code that
 * is part of Node, a fifth of the start.
 */
export const programFlags: readonly string[] = ['--max-semi-space-size=1']

/** V8's compiled code of the programs, made where they are built. */
export const compileCache = (): string => join(repositoryRoot(), 'dist/compile-cache')
