/** How much a benchmark does: what the user typed, and what is sensible where the processor is emulated. */
import { UserError } from '@vpn-gateway/config'

export interface Scale {
  /** The processor is emulated, and several times slower than hardware. */
  emulated: boolean
  /** Concurrent flows, one or more numbers. */
  flows?: number[]
  /** How often each thing is measured. */
  rounds?: number
  /** Seconds of one measurement. */
  seconds?: number
}

/** Reads `--flows`, `--rounds` and `--seconds`; throws a `UserError` that names the option. */
export function readScale(values: { flows?: string; rounds?: string; seconds?: string }): Omit<Scale, 'emulated'> {
  const flows = values.flows?.split(',').map((text) => whole('flows', text, 30, 100_000))
  return {
    ...(flows === undefined ? {} : { flows }),
    ...(values.rounds === undefined ? {} : { rounds: whole('rounds', values.rounds, 1, 1000) }),
    ...(values.seconds === undefined ? {} : { seconds: whole('seconds', values.seconds, 1, 3600) }),
  }
}

function whole(option: string, text: string, least: number, most: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(number >= least && number <= most))
    throw new UserError(`--${option}: "${text}": expected a whole number from ${least} to ${most}`)
  return number
}
