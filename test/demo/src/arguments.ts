import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config'

/** What can be told: each is a program in dist/, `lab-NAME.mjs`. */
const stories = ['demo', 'failover', 'chaos', 'leaks'] as const

export interface DemoRequest {
  help: boolean
  story: (typeof stories)[number]
  /** Of the failover's scenarios or the leak suite's cases, those whose names contain one of these; empty: all. */
  only: string[]
  /** Long-lived flows, 30 to 6000. */
  flows: number
  /** Chaos: minutes in which faults begin. */
  minutes: number
  /** Chaos: what the faults are chosen by; by chance unless said. */
  seed?: number
  /** Chaos: a trace to play again in place of chosen faults. */
  replay?: string
  /** File that gets the figures. */
  json?: string
  /** Emulate even where the processor could virtualize. */
  noKvm: boolean
}

export const help = `usage: npm run demo -- [OPTION]…
       npm run failover -- [OPTION]…
       npm run chaos -- [OPTION]…
       npm run leaks -- [OPTION]…

Brings the whole system up in a virtual machine and shows what it survives, with figures: the demo in a
few minutes what matters most, the failover everything that can happen to routers and gateways, the
chaos faults by chance, one or two at a time, after each of which all must be as before, the leak suite
every state in which something could leave outside a tunnel.

  --json FILE    write the figures as JSON too
  --flows N      long-lived flows through the tunnels, 30 to 6000 (default 300, chaos 60, leaks none)
  --only TEXT    failover, leaks: only what has this in its name; may be repeated
  --minutes M    chaos: for how long faults begin, 1 to 1440 (default 10)
  --seed S       chaos: the same seed, 0 to 4294967295, chooses the same faults (default: by chance)
  --replay FILE  chaos: the faults of a trace, as a run in which something failed writes it
  --no-kvm       emulate the processor, slowly, whatever else works here

Exit codes: 0 every promise held, 1 one was broken or something failed, 2 wrong input.
`

/** Reads the demo's options; throws a `UserError` that names the wrong one. */
export function parseDemoArguments(args: readonly string[]): DemoRequest {
  const { values } = parse(args)
  const { help: asked, only, json, replay } = values
  const story = stories.find((name) => name === values.story)
  if (story === undefined) throw new UserError(`--story: "${values.story}": expected ${stories.join(', ')}`)
  if ((story === 'demo' || story === 'chaos') && only.length > 0) {
    throw new UserError(`--only: the ${story} is told whole`)
  }
  if (story !== 'chaos') {
    for (const flag of ['minutes', 'seed', 'replay'] as const) {
      if (values[flag] !== undefined) throw new UserError(`--${flag}: npm run chaos takes it`)
    }
  }
  if (replay !== undefined && (values.seed !== undefined || values.minutes !== undefined)) {
    throw new UserError('--replay: the trace says what happens, expected neither --seed nor --minutes')
  }
  const seed = values.seed === undefined ? undefined : wholeNumber('seed', values.seed, 0, 2 ** 32 - 1)
  return {
    help: asked,
    story,
    only,
    flows: wholeNumber('flows', values.flows ?? (story === 'chaos' ? '60' : '300'), 30, 6000),
    minutes: wholeNumber('minutes', values.minutes ?? '10', 1, 1440),
    noKvm: values['no-kvm'],
    ...(seed === undefined ? {} : { seed }),
    ...(replay === undefined ? {} : { replay }),
    ...(json === undefined ? {} : { json }),
  }
}

function wholeNumber(flag: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= least && value <= most) return value
  throw new UserError(`--${flag}: "${text}": expected a whole number from ${least} to ${most}`)
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        json: { type: 'string' },
        story: { type: 'string', default: 'demo' },
        only: { type: 'string', multiple: true, default: [] },
        flows: { type: 'string' },
        minutes: { type: 'string' },
        seed: { type: 'string' },
        replay: { type: 'string' },
        'no-kvm': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    throw new UserError(
      `${error instanceof Error ? error.message.split(/\.\s/)[0] : String(error)}: --help lists the options`,
    )
  }
}
