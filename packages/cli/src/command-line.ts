/** The commands and their options: what is read, helped with and completed. */

export const commandNames = ['check', 'render', 'plan', 'status', 'completion'] as const
export type CommandName = (typeof commandNames)[number]

export const agentChoices = ['node', 'gateway', 'router'] as const

export interface OptionShape {
  /** Without the two dashes. */
  flag: string
  /** What stands for the value; absent: the option has none. */
  value?: string
  /** The only values that there are. */
  words?: readonly string[]
  /** May be given several times. */
  many?: boolean
}

const options: Record<CommandName, readonly OptionShape[]> = {
  check: [
    { flag: 'cluster-cidr', value: 'CIDR', many: true },
    { flag: 'tunnels', value: 'DIR' },
    { flag: 'gateways', value: 'N' },
  ],
  render: [{ flag: 'output', value: 'DIR' }, { flag: 'gateways', value: 'N' }, { flag: 'monitoring' }],
  plan: [
    { flag: 'agent', value: 'AGENT', words: agentChoices },
    { flag: 'name', value: 'NAME' },
    { flag: 'interface', value: 'LINK' },
    { flag: 'primary', value: 'LINK' },
    { flag: 'router-interface', value: 'LINK' },
    { flag: 'tunnel', value: 'FILE' },
    { flag: 'forwards-file', value: 'FILE' },
  ],
  status: [{ flag: 'agent', value: 'URL', many: true }, { flag: 'json' }, { flag: 'timeout', value: 'SECONDS' }],
  completion: [],
}

/** Options of a command, beside --help. */
export function optionsOf(command: CommandName): readonly OptionShape[] {
  return options[command]
}
