/** What was asked of the `lab` command. */
import { UserError } from '@vpn-gateway/config'

export interface LabFlags {
  /** On this machine's own kernel instead of a virtual machine. */
  native: boolean
  /** The machine only, without the lab in it. */
  noLab: boolean
  /** The simple alternative: one gateway and no routers. */
  single: boolean
  /** Software emulation even where KVM works. */
  noKvm: boolean
  /** Agents run in their images, which are built first. */
  images: boolean
  /** MiB of memory for the virtual machine. */
  memoryMiB?: number
}

export type LabRequest =
  | { command: 'help' }
  | { command: 'up'; flags: LabFlags }
  | { command: 'down' }
  | { command: 'status' }
  | { command: 'exec'; host: string; argv: readonly [string, ...string[]] }
  | { command: 'run'; flags: LabFlags; script: string; args: readonly string[] }

export const HELP = `usage: npm run lab -- COMMAND

  up                     boot the lab's machine and bring the whole system up in it; stays up until "down"
  down                   end it
  status                 say what is up, and how the system inside is
  exec HOST -- CMD...    run a command in a namespace of the lab (client-0, router-1, internet, ...), or in "vm" itself
  run SCRIPT [ARG...]    run a bash script inside as root, in the lab that is up or else in a fresh one that is ended
                         afterwards; "ip netns exec HOST CMD" reaches the namespaces. Ends with the script's exit code

What exec and run start has an empty standard input; it can read your files by their paths.

Options of up and run, before the script's name:
  --native               use this machine's own kernel (root, with ip_vs and wireguard) instead of a virtual machine
  --memory MIB           memory of the virtual machine, 512 or more
  --no-lab               only the machine, without the system in it
  --single               the simple alternative: one gateway, no routers
  --images               build the images and run every agent in its own, with the settings of deploy/'s manifests
  --no-kvm               emulate the processor, slowly, whatever else works here
`

function memory(text: string | undefined): number {
  const size = /^\d+$/.test(text ?? '') ? Number(text) : Number.NaN
  if (!(size >= 512))
    throw new UserError(`lab: --memory: a number of MiB, 512 or more, expected; not ${text ?? 'nothing'}`)
  return size
}

/** Options without a value. */
const SWITCHES: ReadonlySet<string> = new Set(['--native', '--no-lab', '--single', '--no-kvm', '--images'])

/** Takes flags off the front of `words`. */
function takeFlags(words: string[], command: string): LabFlags {
  const flags: LabFlags = { native: false, noLab: false, single: false, noKvm: false, images: false }
  while (words[0]?.startsWith('-')) {
    const [name, inline] = (words.shift() as string).split('=', 2)
    if (inline !== undefined && name !== '--memory' && SWITCHES.has(name as string)) {
      throw new UserError(`lab ${command}: ${name} takes no value`)
    }
    if (name === '--native') flags.native = true
    else if (name === '--no-lab') flags.noLab = true
    else if (name === '--single') flags.single = true
    else if (name === '--no-kvm') flags.noKvm = true
    else if (name === '--images') flags.images = true
    else if (name === '--memory') flags.memoryMiB = memory(inline ?? words.shift())
    else throw new UserError(`lab ${command}: unknown option ${name}; see npm run lab -- --help`)
  }
  return flags
}

function nothingMore(words: readonly string[], command: string): void {
  if (words.length > 0) throw new UserError(`lab ${command}: unexpected ${words[0]}; see npm run lab -- --help`)
}

/** Reads the words after `npm run lab --`; throws a `UserError` of one line for what makes no sense. */
export function parseLabArguments(args: readonly string[]): LabRequest {
  const [command, ...words] = args
  switch (command) {
    case undefined:
      throw new UserError('lab: up, down, status, exec or run expected; see npm run lab -- --help')
    case '--help':
    case '-h':
    case 'help':
      return { command: 'help' }
    case 'up': {
      const flags = takeFlags(words, command)
      nothingMore(words, command)
      return { command, flags }
    }
    case 'down':
    case 'status':
      nothingMore(words, command)
      return { command }
    case 'exec': {
      const [host, ...rest] = words
      if (rest[0] === '--') rest.shift()
      const [program, ...more] = rest
      if (host === undefined || host.startsWith('-') || program === undefined) {
        throw new UserError('lab exec: a host and a command expected: lab exec HOST -- CMD...')
      }
      return { command, host, argv: [program, ...more] }
    }
    case 'run': {
      const flags = takeFlags(words, command)
      const [script, ...more] = words
      if (script === undefined) throw new UserError('lab run: a bash script expected: lab run SCRIPT')
      return { command, flags, script, args: more }
    }
    default:
      throw new UserError(`lab: unknown command ${command}: up, down, status, exec or run expected`)
  }
}
