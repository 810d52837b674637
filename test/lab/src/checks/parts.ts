/** Which parts of `npm test` to run. */
import { UserError } from '@vpn-gateway/config'

/** In the order in which they run: from the quickest to the one that needs the whole system. */
const PARTS = ['static', 'unit', 'kernel', 'lab'] as const
/**
 * What runs when no part is named. The lab's end-to-end tests are not among them yet: where no KVM works, emulation makes
 * health checks time out, and the story's promises do not hold. `npm test -- lab` runs them.
 */
const DEFAULT_PARTS: readonly Part[] = ['static', 'unit', 'kernel']
export type Part = (typeof PARTS)[number]

export interface TestRequest {
  readonly parts: ReadonlySet<Part>
  /** Emulate the processor even where KVM works. */
  readonly noKvm: boolean
}

/** Reads the words after `npm test --`; no part named means all but the lab. Throws a `UserError` for an unknown word. */
export function parseTestArguments(args: readonly string[]): TestRequest {
  const parts = new Set<Part>()
  let noKvm = false
  for (const word of args) {
    const part = PARTS.find((name) => name === word)
    if (part) parts.add(part)
    else if (word === '--no-kvm') noKvm = true
    else throw new UserError(`npm test: ${PARTS.join(', ')} or --no-kvm expected, not ${word}`)
  }
  return { parts: parts.size > 0 ? parts : new Set(DEFAULT_PARTS), noKvm }
}
