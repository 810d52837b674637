/** Commands inside network namespaces, each with as few processes as it takes: an exec costs 30 ms under emulation. */
import { readdirSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Runner } from '@vpn-gateway/kernel'

const NETNS_DIR = '/run/netns'

/** Path that CNI and nsenter(1) know a namespace by. */
export const namespacePath = (namespace: string): string => join(NETNS_DIR, namespace)

/** Runs one program inside a namespace, with the namespace's own /sys, and resolves to its standard output. */
export function runIn(
  runner: Runner,
  namespace: string,
  argv: readonly string[],
  options: { stdin?: string; timeoutMs?: number } = {},
): Promise<string> {
  return runner.run({ argv: ['ip', 'netns', 'exec', namespace, ...argv], ...options })
}

/** Runs iproute2 commands, one a line without the leading `ip`, in one process; stops at the first that fails. */
export async function ipBatch(runner: Runner, namespace: string | undefined, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return
  const argv: [string, ...string[]] =
    namespace === undefined ? ['ip', '-batch', '-'] : ['ip', '-n', namespace, '-batch', '-']
  await runner.run({ argv, stdin: `${lines.join('\n')}\n`, timeoutMs: 60_000 })
}

/** Names of the namespaces that ip-netns(8) knows. */
export function listNamespaces(): string[] {
  try {
    return readdirSync(NETNS_DIR)
  } catch {
    return []
  }
}

/** Processes, by id, whose network namespace this is; those of the calling thread's reach only. */
export function processesIn(namespace: string): number[] {
  let wanted: string
  try {
    wanted = `net:[${statSync(namespacePath(namespace)).ino}]`
  } catch {
    return []
  }
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        return readlinkSync(`/proc/${entry}/ns/net`) === wanted
      } catch {
        // The process ended between readdir(3) and readlink(2).
        return false
      }
    })
    .map(Number)
}

/** Kills every process of a namespace with SIGKILL; resolves once the signals are sent. */
export function killProcessesIn(namespace: string): void {
  for (const pid of processesIn(namespace)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // ESRCH: it ended by itself.
    }
  }
}
