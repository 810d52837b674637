import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config'

/** What can be told: each is a program in dist/, `lab-NAME.mjs`. */
const stories = ['demo', 'failover'] as const

export interface DemoRequest {
  help: boolean
  story: (typeof stories)[number]
  /** Of the failover's scenarios, those whose names contain one of these; empty: all. */
  only: string[]
  /** Long-lived flows, 30 to 6000. */
  flows: number
  /** File that gets the figures. */
  json?: string
  /** Emulate even where the processor could virtualize. */
  noKvm: boolean
}

export const help = `usage: npm run demo -- [OPTION]…
       npm run failover -- [OPTION]…

Brings the whole system up in a virtual machine and shows what it survives, with figures: the demo in a
few minutes what matters most, the failover everything that can happen to routers and gateways.

  --json FILE   write the figures as JSON too
  --flows N     long-lived flows through the tunnels, 30 to 6000 (default 300)
  --only TEXT   failover: only scenarios whose names contain this; may be repeated
  --no-kvm      emulate the processor even where KVM works

Exit codes: 0 every promise held, 1 one was broken or something failed, 2 wrong input.
`

/** Reads the demo's options; throws a `UserError` that names the wrong one. */
export function parseDemoArguments(args: readonly string[]): DemoRequest {
  const { values } = parse(args)
  const flows = Number(values.flows)
  if (!/^\d+$/.test(values.flows) || flows < 30 || flows > 6000) {
    throw new UserError(`--flows: "${values.flows}": expected a whole number from 30 to 6000`)
  }
  const story = stories.find((name) => name === values.story)
  if (story === undefined) throw new UserError(`--story: "${values.story}": expected ${stories.join(' or ')}`)
  if (story === 'demo' && values.only.length > 0) throw new UserError('--only: the demo is told whole')
  return {
    help: values.help,
    story,
    only: values.only,
    flows,
    noKvm: values['no-kvm'],
    ...(values.json === undefined ? {} : { json: values.json }),
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        json: { type: 'string' },
        story: { type: 'string', default: 'demo' },
        only: { type: 'string', multiple: true, default: [] },
        flows: { type: 'string', default: '300' },
        'no-kvm': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    throw new UserError(
      `${error instanceof Error ? error.message.split('. ')[0] : String(error)}: --help lists the options`,
    )
  }
}
