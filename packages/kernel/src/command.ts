/** The one place that runs commands: no shell, C locale, a deadline, standard input for anything secret. */
import { ExecaError, execa } from 'execa'

/** One call of a program. Secrets belong into `stdin`, never into `argv`, which every process can read in /proc. */
export interface Invocation {
  argv: readonly [string, ...string[]]
  stdin?: string
  /** Whether `stdin` holds secrets: what the program repeats of its input is then left out of the error. */
  secret?: boolean
  /** Milliseconds until the program is killed; 30,000 unless said. */
  timeoutMs?: number
}

/** Why a command failed, as far as its output tells. */
export type CommandErrorKind =
  | 'already-exists'
  | 'not-found'
  | 'not-permitted'
  | 'unsupported'
  | 'missing-binary'
  | 'timeout'
  | 'failed'

/** A program that could not be started, ended with a code other than 0, or took too long. */
export class CommandError extends Error {
  readonly argv: readonly string[]
  readonly exitCode: number | undefined
  readonly stderr: string
  readonly kind: CommandErrorKind

  constructor(details: {
    argv: readonly string[]
    exitCode?: number | undefined
    stderr: string
    kind: CommandErrorKind
  }) {
    const { argv, exitCode, stderr, kind } = details
    const said = firstLine(stderr)
    super(`${argv.join(' ')}: ${said === '' ? describe(kind, exitCode) : said}`)
    this.name = 'CommandError'
    this.argv = argv
    this.exitCode = exitCode
    this.stderr = stderr
    this.kind = kind
  }
}

/** Characters of a program's first line that an error repeats. */
const mostRepeated = 500

/** The first line that says something, without what would make a terminal or a log do more than show it. */
function firstLine(text: string): string {
  const said = text.split(/[\r\n\u2028\u2029]/).find((line) => line.trim() !== '') ?? ''
  return said
    .slice(0, mostRepeated)
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim()
}

function describe(kind: CommandErrorKind, exitCode: number | undefined): string {
  if (kind === 'missing-binary') return 'no such program on PATH'
  if (kind === 'timeout') return 'did not end in time'
  return `exit code ${exitCode ?? 'unknown'}`
}

/** Maps what a program wrote to standard error to a kind; the patterns are strerror(3)'s and iproute2's. */
export function classifyFailure(stderr: string): CommandErrorKind {
  if (/File exists|already exists/i.test(stderr)) return 'already-exists'
  if (/Operation not permitted|Permission denied|must be root/i.test(stderr)) return 'not-permitted'
  if (/not supported|Unknown device type|Protocol not available/i.test(stderr)) return 'unsupported'
  if (/No such|Cannot find|does not exist|Unable to access interface/i.test(stderr)) return 'not-found'
  return 'failed'
}

/**
 * What a program said, without what it may have repeated of a secret input. wg(8) puts the line or the value that it does
 * not understand in quotes; keys are base64.
 */
export function redact(stderr: string): string {
  return stderr
    .split('\n')
    .map(withoutQuoted)
    .join('\n')
    .replaceAll(/[A-Za-z0-9+/]{16,}={0,2}/g, '[redacted]')
}

function withoutQuoted(line: string): string {
  const [from, to] = [line.indexOf('`'), line.lastIndexOf("'")]
  return from < 0 || to < from ? line : `${line.slice(0, from)}[redacted]${line.slice(to + 1)}`
}

/** Runs commands and resolves to their standard output; rejects with a `CommandError`. */
export interface Runner {
  run(invocation: Invocation): Promise<string>
}

export interface RunnerOptions {
  /** Told of every command that ended, for logs and counters; never of its input. */
  onCommand?: (command: { argv: readonly string[]; milliseconds: number; failed: boolean }) => void
}

/** Makes a runner on this process' own network namespace. */
export function createRunner(options: RunnerOptions = {}): Runner {
  return {
    async run({ argv, stdin, secret = false, timeoutMs = 30_000 }) {
      const started = performance.now()
      const [program, ...args] = argv
      let failed = true
      try {
        const result = await execa(program, args, {
          env: { LC_ALL: 'C' },
          timeout: timeoutMs,
          forceKillAfterDelay: 1000,
          maxBuffer: 256 * 1024 * 1024,
          stripFinalNewline: false,
          ...(stdin === undefined ? { stdin: 'ignore' as const } : { input: stdin }),
        })
        failed = false
        return result.stdout
      } catch (error) {
        if (!(error instanceof ExecaError)) throw error
        const said = typeof error.stderr === 'string' ? error.stderr : ''
        const stderr = secret ? redact(said) : said
        throw new CommandError({ argv, exitCode: error.exitCode, stderr, kind: kindOf(error, stderr) })
      } finally {
        options.onCommand?.({ argv, milliseconds: performance.now() - started, failed })
      }
    },
  }
}

function kindOf(error: ExecaError, stderr: string): CommandErrorKind {
  if (error.timedOut) return 'timeout'
  if (error.code === 'ENOENT') return 'missing-binary'
  return classifyFailure(stderr)
}
