/** What the command line asks for. */
import { isIPv6 } from 'node:net'
import { parseArgs } from 'node:util'
import { cidr4, nearest, UserError } from '@vpn-gateway/config'
import { agentChoices, commandNames, optionsOf, type CommandName } from './command-line.ts'
import { shells, type Shell } from './completion.ts'
import type { PlanRequest } from './plan.ts'

export type AgentChoice = (typeof agentChoices)[number]

export type Request =
  | { command: 'help'; of?: CommandName }
  | { command: 'version' }
  | { command: 'check'; file: string; clusterCidrs: string[]; tunnels?: string; gateways?: number }
  | { command: 'render'; file: string; output?: string; gateways?: number; monitoring: boolean }
  | ({ command: 'plan' } & PlanRequest)
  | { command: 'status'; agents: string[]; json: boolean; timeout: number }
  | { command: 'completion'; shell: Shell }

/** Milliseconds that an agent is given to answer, unless said. */
const usualTimeout = 3000

/** Reads the arguments; throws a `UserError` with one line for each wrong one. */
export function parseArguments(args: readonly string[]): Request {
  const [first, ...rest] = args
  if (first === undefined || first === '--help' || first === 'help') return { command: 'help' }
  if (first === '--version') return { command: 'version' }
  const command = commandNames.find((name) => name === first)
  if (command === undefined) {
    const near = nearest(first, [...commandNames, '--help', '--version'])
    throw new UserError(
      `"${first}": unknown command: expected ${near === undefined ? oneOf(commandNames) : `${near}?`}`,
    )
  }
  const given = readOptions(command, rest)
  if (given.help) return { command: 'help', of: command }
  const request = requestOf[command](given)
  if (given.problems.length > 0 || request === undefined) throw new UserError(given.problems)
  return request
}

/** Each adds what is wrong to the problems; undefined where there is nothing to make a request of. */
const requestOf: Record<CommandName, (given: Given) => Request | undefined> = {
  check(given) {
    const clusterCidrs = given.all('cluster-cidr')
    for (const cidr of clusterCidrs) {
      const problem = clusterCidrProblem(cidr)
      if (problem !== undefined) given.problems.push(`--cluster-cidr: "${cidr}": ${problem}`)
    }
    const file = systemFile(given)
    const tunnels = given.one('tunnels')
    const gateways = gatewayCount(given)
    if (file === undefined) return undefined
    return {
      command: 'check',
      file,
      clusterCidrs,
      ...(tunnels === undefined ? {} : { tunnels }),
      ...(gateways === undefined ? {} : { gateways }),
    }
  },
  render(given) {
    const output = given.one('output')
    const gateways = gatewayCount(given)
    const file = systemFile(given)
    if (file === undefined) return undefined
    return {
      command: 'render',
      file,
      monitoring: given.has('monitoring'),
      ...(output === undefined ? {} : { output }),
      ...(gateways === undefined ? {} : { gateways }),
    }
  },
  plan(given) {
    const said = given.one('agent')
    const agent = agentChoices.find((name) => name === said)
    if (said === undefined) given.problems.push(`--agent: missing: expected ${oneOf(agentChoices)}`)
    else if (agent === undefined) given.problems.push(`--agent: "${said}": expected ${oneOf(agentChoices)}`)
    const file = systemFile(given)
    if (file === undefined || agent === undefined) return undefined
    const [name, link, primary] = ['name', 'interface', 'primary'].map(given.one)
    const [routerInterface, tunnel, forwardsFile] = ['router-interface', 'tunnel', 'forwards-file'].map(given.one)
    return {
      command: 'plan',
      agent,
      file,
      ...(name === undefined ? {} : { name }),
      ...(link === undefined ? {} : { interface: link }),
      ...(primary === undefined ? {} : { primary }),
      ...(routerInterface === undefined ? {} : { routerInterface }),
      ...(tunnel === undefined ? {} : { tunnel }),
      ...(forwardsFile === undefined ? {} : { forwardsFile }),
    }
  },
  status(given) {
    const agents = given.all('agent')
    for (const url of agents) {
      if (!/^https?:\/\/[^/\s]+\/?$/.test(url) || !URL.canParse(url)) {
        given.problems.push(`--agent: "${url}": expected http://HOST:PORT`)
      }
    }
    const timeout = given.one('timeout')
    if (timeout !== undefined && !(Number(timeout) > 0 && Number(timeout) <= 60)) {
      given.problems.push(`--timeout: "${timeout}": expected seconds, more than 0 and at most 60`)
    }
    if (given.words.length > 0) given.problems.push(`"${given.words[0]}": expected an option: --help lists them`)
    const milliseconds = timeout === undefined ? usualTimeout : Number(timeout) * 1000
    return { command: 'status', agents, json: given.has('json'), timeout: milliseconds }
  },
  completion(given) {
    const [word, ...more] = given.words
    const shell = shells.find((name) => name === word)
    if (shell === undefined || more.length > 0) {
      given.problems.push(
        `${word === undefined ? 'SHELL: missing' : `"${more[0] ?? word}"`}: expected ${oneOf(shells)}`,
      )
      return undefined
    }
    return { command: 'completion', shell }
  },
}

function oneOf(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function systemFile(given: Given): string | undefined {
  const [file, ...more] = given.words
  for (const word of more) given.problems.push(`"${word}": expected one FILE`)
  if (file === undefined) given.problems.push('FILE: missing: expected the system file (YAML)')
  return file
}

function gatewayCount(given: Given): number | undefined {
  const gateways = given.one('gateways')
  if (gateways === undefined) return undefined
  if (!/^[1-9]\d{0,4}$/.test(gateways)) given.problems.push(`--gateways: "${gateways}": expected a whole number from 1`)
  return Number(gateways)
}

function clusterCidrProblem(cidr: string): string | undefined {
  const parsed = cidr4.safeParse(cidr)
  if (parsed.success) return undefined
  if (!cidr.includes(':')) return parsed.error.issues[0]?.message
  const [, address = '', prefix] = /^([^/]+)\/(\d{1,3})$/.exec(cidr) ?? []
  return isIPv6(address) && Number(prefix) <= 128 ? undefined : 'expected an IPv6 network as ADDRESS/PREFIX'
}

interface Given {
  /** What is no option, in order. */
  words: string[]
  help: boolean
  problems: string[]
  has: (flag: string) => boolean
  /** Of several values the last. */
  one: (flag: string) => string | undefined
  all: (flag: string) => string[]
}

function readOptions(command: CommandName, args: readonly string[]): Given {
  const known = optionsOf(command)
  const names = known.map(({ flag }) => flag)
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: {
      help: { type: 'boolean' },
      ...Object.fromEntries(
        known.map(({ flag, value }) => [
          flag,
          { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: true },
        ]),
      ),
    },
  })
  const values = new Map<string, string[]>()
  const result: Given = {
    words: [],
    help: false,
    problems: [],
    has: (flag) => values.has(flag),
    one: (flag) => values.get(flag)?.at(-1),
    all: (flag) => values.get(flag) ?? [],
  }
  for (const token of tokens) {
    if (token.kind === 'positional') result.words.push(token.value)
    if (token.kind !== 'option') continue
    const { name, rawName, value, inlineValue } = token
    const takesValue = known.find(({ flag }) => flag === name)?.value !== undefined
    if (name === 'help') result.help = true
    else if (!names.includes(name)) {
      const near = nearest(name, [...names, 'help'])
      result.problems.push(
        `${rawName}: unknown option${near === undefined ? `: vpn-gateway ${command} --help lists them` : `: expected --${near}?`}`,
      )
    } else if (!takesValue) {
      if (value === undefined) values.set(name, [])
      else result.problems.push(`${rawName}: expected no value`)
    } else if (value === undefined || value === '' || (!inlineValue && value.startsWith('-'))) {
      result.problems.push(`${rawName}: missing value`)
    } else values.set(name, [...(values.get(name) ?? []), value])
  }
  return result
}
