import { join } from 'node:path'

/** Files below `--run-dir` that the agent and its daemons share. Names are fixed: a new agent finds an old one's daemons. */
export interface Paths {
  keepalived: {
    config: string
    /** One for each process (`-p`, `-c`, `-r`, `-b` of keepalived(8)); where it cannot write one it ends with exit code 0. */
    pidFiles: { parent: string; checkers: string; vrrp: string; bfd: string }
    vrrpFifo: string
    lvsFifo: string
    /** Number that is added to a gateway's weight: far below zero while the gateway drains. */
    trackFile: (gateway: string) => string
    /** Number that is added to the router's VRRP priority, see `worth.ts`. */
    worthFile: string
    /** What keepalived writes on a signal; the name is its own, the directory its TMPDIR. */
    dumpFile: string
  }
  conntrackd: {
    config: string
    /** AF_UNIX; sun_path holds no more than 107 bytes (unix(7)). */
    socket: string
    lock: string
    log: string
  }
  /** Entries that a router which takes over adds to connection tracking. */
  refill: string
}

export function pathsIn(runDir: string): Paths {
  const at = (...names: string[]) => join(runDir, ...names)
  return {
    keepalived: {
      config: at('keepalived.conf'),
      pidFiles: {
        parent: at('keepalived-parent.pid'),
        checkers: at('keepalived-checkers.pid'),
        vrrp: at('keepalived-vrrp.pid'),
        bfd: at('keepalived-bfd.pid'),
      },
      vrrpFifo: at('keepalived-vrrp.fifo'),
      lvsFifo: at('keepalived-lvs.fifo'),
      trackFile: (gateway) => at(`weight-${gateway}`),
      worthFile: at('worth'),
      dumpFile: at('keepalived.json'),
    },
    conntrackd: {
      config: at('conntrackd.conf'),
      socket: at('conntrackd.ctl'),
      lock: at('conntrackd.lock'),
      log: at('conntrackd.log'),
    },
    refill: at('conntrack.entries'),
  }
}
