/** Completion for shells, made from the commands and options that there are. Pure. */
import { commandNames, optionsOf, type OptionShape } from './command-line.ts'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** A script that the shell reads at its start. */
export function completion(shell: Shell): string {
  return { bash, zsh, fish }[shell]()
}

const flagsOf = (command: (typeof commandNames)[number]) => [
  ...optionsOf(command).map(({ flag }) => `--${flag}`),
  '--help',
]

/** Words that can follow an option; undefined where a file can. */
const wordsOf = ({ words }: OptionShape) => words?.join(' ')

function bash(): string {
  const values = commandNames.flatMap((command) =>
    optionsOf(command).flatMap((option) => {
      const words = wordsOf(option)
      return words === undefined
        ? []
        : [`    ${command}:--${option.flag}) COMPREPLY=($(compgen -W "${words}" -- "$word")); return ;;`]
    }),
  )
  const commands = commandNames.map((command) => `    ${command}) words="${flagsOf(command).join(' ')}" ;;`)
  return `# vpn-gateway completion bash
_vpn_gateway() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} words
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "${commandNames.join(' ')} --help --version" -- "$word"))
    return
  fi
  case \${COMP_WORDS[1]}:$before in
${values.join('\n')}
    completion:completion) COMPREPLY=($(compgen -W "${shells.join(' ')}" -- "$word")); return ;;
  esac
  case \${COMP_WORDS[1]} in
${commands.join('\n')}
  esac
  if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$words" -- "$word")); else COMPREPLY=($(compgen -f -- "$word")); fi
}
complete -o filenames -F _vpn_gateway vpn-gateway
`
}

function zsh(): string {
  const commands = commandNames.map((command) => {
    const specs = optionsOf(command).map(({ flag, value, words, many }) => {
      const star = many === true ? '*' : ''
      const argument = value === undefined ? '' : `:${value}:${words === undefined ? '_files' : `(${words.join(' ')})`}`
      return `'${star}--${flag}${value === undefined ? '' : '='}${argument}'`
    })
    const last = command === 'completion' ? `'1:shell:(${shells.join(' ')})'` : `'*:file:_files'`
    return `    ${command}) _arguments ${[...specs, "'--help'", last].join(' ')} ;;`
  })
  return `#compdef vpn-gateway
# vpn-gateway completion zsh
_vpn_gateway() {
  if ((CURRENT == 2)); then
    compadd -- ${commandNames.join(' ')} --help --version
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${commands.join('\n')}
  esac
}
compdef _vpn_gateway vpn-gateway
`
}

function fish(): string {
  const first = `complete -c vpn-gateway -n __fish_use_subcommand -f -a "${commandNames.join(' ')}"`
  const version = `complete -c vpn-gateway -n __fish_use_subcommand -l version`
  const options = commandNames.flatMap((command) =>
    optionsOf(command).map(({ flag, value, words }) => {
      const argument = value === undefined ? '' : words === undefined ? ' -r -F' : ` -x -a "${words.join(' ')}"`
      return `complete -c vpn-gateway -n "__fish_seen_subcommand_from ${command}" -l ${flag}${argument}`
    }),
  )
  const shell = `complete -c vpn-gateway -n "__fish_seen_subcommand_from completion" -f -a "${shells.join(' ')}"`
  return `# vpn-gateway completion fish\n${[first, version, 'complete -c vpn-gateway -l help', ...options, shell].join('\n')}\n`
}
