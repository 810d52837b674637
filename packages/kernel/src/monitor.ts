import { execa } from 'execa'
import { splitLines } from './lines.ts'

/** A running watch on kernel events. */
export interface NetlinkWatch {
  readonly name: string
  start(signal: AbortSignal): Promise<void>
  stop(deadline: AbortSignal): Promise<void>
}

/** Milliseconds before a monitor that ended is started again. */
const restartAfter = 1000

/**
 * Calls `onEvent` with the first word of what changed whenever links, addresses, routes, rules, forwarding or reverse-path
 * filters (ip-monitor(8); the last two as netconf) or netfilter rules (`nft monitor`, which sees iptables-nft too) change in
 * this network namespace. Left out are addresses that are only lent, for a lifetime, and the generations that nft(8) counts.
 * Events can be lost under load (netlink(7), ENOBUFS): a watch makes reaction fast, it does not replace a periodic pass.
 */
export function watchNetlink(onEvent: (object: string) => void, programs = defaultPrograms): NetlinkWatch {
  const stopping = new AbortController()
  const running: Promise<void>[] = []
  return {
    name: 'netlink-watch',
    async start() {
      for (const { argv, object } of programs) running.push(follow(argv, object, onEvent, stopping.signal))
    },
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
  }
}

const defaultPrograms: readonly { argv: readonly [string, ...string[]]; object: string }[] = [
  { argv: ['ip', '-oneline', 'monitor', 'link', 'address', 'route', 'rule', 'netconf'], object: 'network' },
  { argv: ['nft', 'monitor', 'ruleset'], object: 'netfilter' },
]

/** Characters of a line that are looked at, and kept of one that does not end. */
const longestLine = 4096

/** Whether a line of a monitor tells of a change: not of one that is only lent, nor of a generation. */
export function tellsOfChange(line: string): boolean {
  return !/^# |\bvalid_lft \d+sec/.test(line)
}

async function follow(
  argv: readonly [string, ...string[]],
  object: string,
  onEvent: (object: string) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    // A monitor that nobody reads ends only when it next has something to write: it must die with the agent.
    const child = execa('setpriv', ['--pdeathsig', 'KILL', ...argv], {
      env: { LC_ALL: 'C' },
      stdin: 'ignore',
      stderr: 'ignore',
      buffer: false,
      reject: false,
      cancelSignal: signal,
    })
    const take = splitLines(longestLine, (line) => {
      if (tellsOfChange(line)) onEvent(object)
    })
    child.stdout.setEncoding('utf8').on('data', take)
    await child
    if (!signal.aborted) await delay(restartAfter, signal)
  }
}

function delay(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
