import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config'

export interface DemoRequest {
  help: boolean
  /** Long-lived flows, 30 to 2000. */
  flows: number
  /** File that gets the figures. */
  json?: string
  /** Emulate even where the processor could virtualize. */
  noKvm: boolean
}

export const help = `usage: npm run demo -- [OPTION]…

Brings the whole system up in a virtual machine and shows what it survives, with figures.

  --json FILE   write the figures as JSON too
  --flows N     long-lived flows through the tunnels, 30 to 2000 (default 300)
  --no-kvm      emulate the processor even where KVM works

Exit codes: 0 every promise held, 1 one was broken or something failed, 2 wrong input.
`

/** Reads the demo's options; throws a `UserError` that names the wrong one. */
export function parseDemoArguments(args: readonly string[]): DemoRequest {
  const { values } = parse(args)
  const flows = Number(values.flows)
  if (!Number.isInteger(flows) || flows < 30 || flows > 2000) {
    throw new UserError(`--flows: "${values.flows}": expected a whole number from 30 to 2000`)
  }
  return {
    help: values.help,
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
        flows: { type: 'string', default: '300' },
        'no-kvm': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new UserError(
      `${error instanceof Error ? error.message.split('. ')[0] : String(error)}: --help lists the options`,
    )
  }
}
