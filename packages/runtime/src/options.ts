/** Options of an agent: a flag, an environment variable or a default, in this order. */
import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config/errors'
import { nearest } from '@vpn-gateway/config/suggestion'

/** One option; all values are text. */
export interface OptionDeclaration {
  /** Without the two dashes. */
  flag: string
  /** What stands for the value in the help: `FILE`, `NAME`. */
  value: string
  help: string
  /** Environment variable that gives the value where the flag does not. */
  env?: string
  /** Absent: the option must be given. */
  default?: string
  /** What is wrong with the value, beginning with `expected`; undefined when nothing is. */
  check?: (value: string) => string | undefined
}

export type OptionDeclarations = Record<string, OptionDeclaration>
export type OptionValues<D extends OptionDeclarations> = { [K in keyof D]: string }

/** Options that every agent has. */
export const commonOptions = {
  config: {
    flag: 'config',
    value: 'FILE',
    env: 'VPN_GATEWAY_CONFIG',
    help: 'system file (YAML), the same for all agents',
  },
  name: {
    flag: 'name',
    value: 'NAME',
    env: 'VPN_GATEWAY_NAME',
    help: 'who this is: the name of the pod or node',
    // It is written into the daemons' files.
    check: (value: string) =>
      /^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$/i.test(value)
        ? undefined
        : 'expected the name of a pod or node: up to 253 letters, digits, dashes and dots',
  },
  listen: {
    flag: 'listen',
    value: 'HOST:PORT',
    env: 'VPN_GATEWAY_LISTEN',
    help: 'where HTTP is served: health, metrics, status',
    check: (value: string) =>
      parseListen(value) === undefined ? 'expected HOST:PORT, as in 0.0.0.0:9801 or [::]:9801' : undefined,
  },
  runDir: {
    flag: 'run-dir',
    value: 'DIR',
    env: 'VPN_GATEWAY_RUN_DIR',
    default: '/run/vpn-gateway',
    help: 'directory for run-time files; it is made if it is not there',
    check: (value: string) =>
      /^[\w./@:+,=%~-]+$/.test(value)
        ? undefined
        : "expected a path that the daemons' files can name: letters, digits and ./_-@:+,=%~",
  },
  logLevel: {
    flag: 'log-level',
    value: 'LEVEL',
    env: 'VPN_GATEWAY_LOG_LEVEL',
    default: 'info',
    help: 'debug, info, warn or error',
    check: (value: string) =>
      ['debug', 'info', 'warn', 'error'].includes(value) ? undefined : 'expected debug, info, warn or error',
  },
} satisfies OptionDeclarations

/** Host and port of a listen option; undefined when it is not one. */
export function parseListen(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535) return undefined
  return { host: match[1] ?? match[2] ?? '', port }
}

/** Thrown for `--help` and `--version`: what to print before ending with exit code 0. */
export class Answer extends Error {}

/**
 * Reads options from arguments and environment. Throws a `UserError` with a line for each unknown, missing or wrong one,
 * and an `Answer` where help or version was asked for.
 */
export function readOptions<D extends OptionDeclarations>(
  declarations: D,
  source: {
    program: string
    version: string
    args: readonly string[]
    env: Readonly<Record<string, string | undefined>>
  },
): OptionValues<D> {
  const { program, version, args, env } = source
  const given = readFlags(declarations, args)
  if (given.has('help')) throw new Answer(helpText(program, declarations))
  if (given.has('version')) throw new Answer(`${program} ${version}`)
  const problems: string[] = []
  const values: Record<string, string> = {}
  for (const [key, { flag, env: variable, default: fallback, check, value: placeholder }] of Object.entries(
    declarations,
  )) {
    const fromFlag = given.get(flag)
    const fromEnv = variable === undefined || env[variable] === '' ? undefined : env[variable]
    const value = fromFlag ?? fromEnv ?? fallback
    if (value === undefined) {
      problems.push(
        `--${flag}: missing: expected ${placeholder}${variable === undefined ? '' : ` (or ${variable} in the environment)`}`,
      )
      continue
    }
    const wrong = check?.(value)
    const where = fromFlag === undefined && fromEnv !== undefined ? variable : `--${flag}`
    if (wrong !== undefined) problems.push(`${where}: ${JSON.stringify(value)}: ${wrong}`)
    values[key] = value
  }
  if (problems.length > 0) throw new UserError(problems)
  return values as OptionValues<D>
}

function readFlags(declarations: OptionDeclarations, args: readonly string[]): Map<string, string> {
  const known = [...Object.values(declarations).map((option) => option.flag), 'help', 'version']
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      known.map((flag) => [flag, { type: flag === 'help' || flag === 'version' ? 'boolean' : 'string' }] as const),
    ),
  })
  const given = new Map<string, string>()
  const problems: string[] = []
  let unknown = false
  for (const token of tokens) {
    // What follows an unknown option is most likely its value.
    if (token.kind === 'positional' && !unknown)
      problems.push(`"${token.value}": expected an option: --help lists them`)
    if (token.kind !== 'option') continue
    unknown = !known.includes(token.name)
    if (unknown) {
      const near = nearest(token.name, known)
      problems.push(
        `${token.rawName}: unknown option${near === undefined ? ': --help lists them' : `: expected --${near}?`}`,
      )
    } else if (token.name !== 'help' && token.name !== 'version' && isMissing(token)) {
      problems.push(`${token.rawName}: missing value`)
      unknown = true
    } else given.set(token.name, token.value ?? '')
  }
  if (problems.length > 0) throw new UserError(problems)
  return given
}

/** A flag that follows is no value; one that does begin with a dash is given as `--flag=-value`. */
function isMissing(token: { value?: string | undefined; inlineValue?: boolean | undefined }): boolean {
  return token.value === undefined || token.value === '' || (token.inlineValue === false && token.value.startsWith('-'))
}

function helpText(program: string, declarations: OptionDeclarations): string {
  const lines = Object.values(declarations).map(({ flag, value, help, env, default: fallback }) => {
    const notes = [env === undefined ? '' : `env ${env}`, fallback === undefined ? 'required' : `default ${fallback}`]
    return `  --${flag} ${value}\n        ${help} (${notes.filter((note) => note !== '').join('; ')})`
  })
  return [
    `usage: ${program} [OPTION]…`,
    '',
    ...lines,
    '  --help, --version',
    '',
    'Exit codes: 0 ended as asked, 1 failed, 2 wrong input; nothing was changed.',
  ].join('\n')
}
