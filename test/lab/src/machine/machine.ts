/** What a machine that can hold the lab offers, be it a virtual one or namespaces on the machine itself. */

export interface ExecOptions {
  /** Added to the machine's own PATH, HOME and locale. */
  env?: Readonly<Record<string, string>>
  /** Working directory inside; the repository's root unless said. */
  cwd?: string
  /** Milliseconds until the command's process group is killed and `exec` rejects; no limit unless said. */
  timeoutMs?: number
  /** Kills the command's process group when aborted; `exec` then resolves with the code that this gave. */
  signal?: AbortSignal
  /** Told of output as it comes, in pieces that may end within a line but never within a character. */
  onOutput?: (text: string, stream: 'stdout' | 'stderr') => void
}

export interface Machine {
  readonly kind: 'vm' | 'native'
  /** One directory under two names, writable from both sides: how files get in and out. */
  readonly share: { readonly host: string; readonly guest: string }
  /**
   * Runs a command inside as root, standard input empty, and resolves when it has ended; a command killed by a signal
   * gives 128 plus its number. Several may run at once. Rejects when the machine dies or `timeoutMs` is over.
   */
  exec(argv: readonly [string, ...string[]], options?: ExecOptions): Promise<{ exitCode: number }>
  /** Ends the machine and everything in it. Safe to call again. */
  shutdown(): Promise<void>
}

/** What is being done, one line each, in words for the person who waits. */
export type Log = (line: string) => void

/** Runs a command inside and resolves to its standard output; rejects with its standard error when it fails. */
export async function capture(
  machine: Machine,
  argv: readonly [string, ...string[]],
  options: Omit<ExecOptions, 'onOutput'> = {},
): Promise<string> {
  let stdout = ''
  let stderr = ''
  const { exitCode } = await machine.exec(argv, {
    ...options,
    onOutput: (text, stream) => {
      if (stream === 'stdout') stdout += text
      else stderr += text
    },
  })
  if (exitCode !== 0) throw new Error(`${argv.join(' ')}: exit code ${exitCode}: ${stderr.trim()}`)
  return stdout
}
