/** A trace: the rounds that were played, as JSON that `--replay` takes. */
import { UserError } from '@vpn-gateway/config'
import { faultNames, goTogether, kindOf, type Fault, type FaultName, type Round } from './catalog.ts'

/** Milliseconds that a fault of a trace may last, and begin after its round. */
const longest = 600_000

/** Renders rounds, one a line. */
export function renderTrace(rounds: readonly Round[]): string {
  return `[\n${rounds.map((round) => `  ${JSON.stringify(round)}`).join(',\n')}\n]\n`
}

/** Reads a trace; throws a `UserError` that names all that is wrong with it, one line each. */
export function parseTrace(text: string, file: string): Round[] {
  const problems: string[] = []
  const wrong = (where: string, what: string): undefined => void problems.push(`--replay: ${file}: ${where}${what}`)
  const rounds: Round[] = []
  for (const [index, round] of listOf(parsed(text, file), '', wrong).entries()) {
    const where = `[${index}]`
    const faults = listOf(round, `${where}: `, wrong).flatMap(
      (fault, at) => readFault(fault, `${where}[${at}]`, wrong) ?? [],
    )
    const [first, second, third] = faults
    if (third !== undefined) wrong(where, ': expected one or two faults')
    else if (first !== undefined && second !== undefined && !goTogether(first, second)) {
      wrong(where, `: ${first.fault} on ${first.on} and ${second.fault} on ${second.on} cannot happen at once`)
    }
    rounds.push(faults)
  }
  if (problems.length > 0) throw new UserError(problems)
  return rounds
}

type Wrong = (where: string, what: string) => undefined

function parsed(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new UserError(`--replay: ${file}: no JSON: expected a list of rounds, as a failed run prints it`)
  }
}

function listOf(value: unknown, where: string, wrong: Wrong): unknown[] {
  if (Array.isArray(value) && value.length > 0) return value
  wrong(where, 'expected a list that is not empty')
  return []
}

function readFault(value: unknown, where: string, wrong: Wrong): Fault | undefined {
  if (typeof value !== 'object' || value === null) return wrong(where, ': expected a fault')
  const { fault, on, detail, afterMs, forMs, ...rest } = value as Record<string, unknown>
  const name = faultNames.find((known) => known === fault)
  if (name === undefined) return wrong(`${where}.fault`, `: ${JSON.stringify(fault)}: expected ${oneOf(faultNames)}`)
  for (const key of Object.keys(rest)) wrong(`${where}.${key}`, ': unknown')
  const kind = kindOf(name)
  const target = kind.targets.find((known) => known === on)
  if (target === undefined) wrong(`${where}.on`, `: ${JSON.stringify(on)}: expected ${oneOf(kind.targets)}`)
  const values = kind.detail?.of ?? []
  const known = values.find((each) => each === detail)
  if (values.length === 0 && detail !== undefined) wrong(`${where}.detail`, `: ${name} takes none`)
  if (values.length > 0 && known === undefined) {
    wrong(`${where}.detail`, `: ${JSON.stringify(detail)}: expected ${kind.detail?.name} of ${oneOf(values)}`)
  }
  const times = { afterMs, forMs }
  for (const [field, time] of Object.entries(times)) {
    if (isTime(time)) continue
    wrong(`${where}.${field}`, `: ${JSON.stringify(time)}: expected milliseconds, 0 to ${longest}`)
  }
  if (target === undefined || !isTime(afterMs) || !isTime(forMs)) return undefined
  return faultOf(name, target, known, afterMs, forMs)
}

const faultOf = (
  fault: FaultName,
  on: string,
  detail: string | number | undefined,
  afterMs: number,
  forMs: number,
): Fault => ({ fault, on, ...(detail === undefined ? {} : { detail }), afterMs, forMs })

const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= longest

const oneOf = (values: readonly (string | number)[]): string =>
  values.length === 1 ? String(values[0]) : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
