/** Which parts of `npm test` to run. */
import { UserError } from '@vpn-gateway/config'

/** In the order in which they run: from the quickest to the one that needs the whole system. */
const PARTS = ['static', 'unit', 'kernel', 'lab'] as const
export type Part = (typeof PARTS)[number]

export interface TestRequest {
  readonly parts: ReadonlySet<Part>
  /** Emulate the processor even where KVM works. */
  readonly noKvm: boolean
}

/** Reads the words after `npm test --`; no part named means all. Throws a `UserError` for an unknown word. */
export function parseTestArguments(args: readonly string[]): TestRequest {
  const parts = new Set<Part>()
  let noKvm = false
  for (const word of args) {
    const part = PARTS.find((name) => name === word)
    if (part) parts.add(part)
    else if (word === '--no-kvm') noKvm = true
    else throw new UserError(`npm test: ${PARTS.join(', ')} or --no-kvm expected, not ${word}`)
  }
  return { parts: parts.size > 0 ? parts : new Set(PARTS), noKvm }
}
