/** Which parts of `npm test` to run. */
import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config'

/** In the order in which they run: from the quickest to the one that needs the whole system. */
const PARTS = ['static', 'unit', 'kernel', 'lab'] as const
export type Part = (typeof PARTS)[number]

export interface TestRequest {
  readonly help: boolean
  readonly parts: ReadonlySet<Part>
  /** Nothing was chosen: where the processor is emulated, what takes longest is left to who asks for it. */
  readonly everyday: boolean
  /** Emulate the processor even where KVM works. */
  readonly noKvm: boolean
  /** Of the parts that vitest runs, only files whose names contain one of these; empty: all. */
  readonly files: readonly string[]
  /** Only tests whose full names match this regular expression. */
  readonly name?: string
}

export const testHelp = `usage: npm test -- [PART]... [OPTION]...

Runs all parts, or those that are named: static (lint, types, unused code), unit, kernel (each agent on a
real kernel) and lab (the whole system). The last two need a virtual machine, which is started for them.
Where nothing is chosen, files that take long are left out, and named: failover and leaks, which have commands of their
own, and more where the processor is emulated.
The last line is "N passed, N failed".

  --file TEXT      only test files whose names contain this; may be repeated
  --name PATTERN   only tests whose full names match this regular expression
  --no-kvm         emulate the processor, slowly, whatever else works here

Exit codes: 0 something ran and nothing failed, 1 something failed or nothing ran, 2 wrong arguments.
`

const options = {
  help: { type: 'boolean', short: 'h', default: false },
  'no-kvm': { type: 'boolean', default: false },
  file: { type: 'string', multiple: true, default: [] as string[] },
  name: { type: 'string' },
} as const

/** Reads the words after `npm test --`; no part named means all of them. Throws a `UserError` for an unknown word. */
export function parseTestArguments(args: readonly string[]): TestRequest {
  const { values, positionals } = parsed(args)
  const parts = new Set<Part>()
  for (const word of positionals) {
    const part = PARTS.find((name) => name === word)
    if (!part) throw expected(word)
    parts.add(part)
  }
  return {
    parts: parts.size > 0 ? parts : new Set(PARTS),
    everyday: parts.size === 0 && values.file.length === 0 && values.name === undefined,
    help: values.help,
    noKvm: values['no-kvm'],
    files: values.file,
    ...(values.name === undefined ? {} : { name: values.name }),
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw expected(error instanceof Error ? error.message : String(error))
  }
}

function expected(what: string): UserError {
  return new UserError(`npm test: ${PARTS.join(', ')}, --file TEXT, --name PATTERN or --no-kvm expected, not ${what}`)
}
