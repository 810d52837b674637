/** A user-mode kernel's command line for one machine (the kernel's Documentation/virt/uml/user_mode_linux_howto_v2.rst). */

export interface UmlOptions {
  memoryMiB: number
  /** Directory that is writable from both sides. */
  share: string
  /** The machine's first script, by its path on the host. */
  init: string
  /** Directory for its control socket and pid file. */
  directory: string
}

/** Descriptors that it must be started with: the orders to the guest, and what it answers there, which nobody reads. */
export const ORDERS = 3
const ANSWERS = 4

/**
 * Arguments of the kernel: no network, no disk; the host's root file system read-only; the console on standard output; the
 * orders on the second serial line.
 */
export function umlArguments({ memoryMiB, share, init, directory }: UmlOptions): string[] {
  return [
    `mem=${memoryMiB}M`,
    'rootfstype=hostfs',
    'rootflags=/',
    'ro',
    // Not busybox: it looks for itself in /proc, which is the host's until the script has mounted another.
    'init=/bin/bash',
    // Not a kernel's option, so that the first program gets it as a variable.
    `share=${share}`,
    `uml_dir=${directory}/`,
    'umid=machine',
    'con=null',
    'con0=null,fd:1',
    'ssl=null',
    `ssl1=fd:${ORDERS},fd:${ANSWERS}`,
    // Its rings are mapped in a way that user mode does not know: Node, which would use them, took the kernel down.
    'sysctl.kernel.io_uring_disabled=2',
    'quiet',
    'panic=-1',
    // What follows is the first program's.
    '--',
    init,
  ]
}
