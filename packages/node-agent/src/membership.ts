/**
 * Peers that a name server answers with. A headless Service names pods that run: while an agent is replaced, its node is
 * missing from the answer although pods there send and receive as before. Who leaves is therefore still sent to for a
 * while; for a node that is really gone that costs one packet a flood. Pure.
 */

/** Milliseconds that an address stays after it was last answered: longer than an agent needs to be replaced. */
export const leaveAfter = 300_000

export interface Membership {
  /** Addresses of the latest answer. */
  present: ReadonlySet<string>
  /** Addresses of earlier ones, with the time in milliseconds until which they stay. */
  leaving: ReadonlyMap<string, number>
}

/** What the kernel holds from an earlier process counts as answered a moment ago. */
export function remembered(addresses: readonly string[], now: number): Membership {
  return { present: new Set(), leaving: new Map(addresses.map((address) => [address, now + leaveAfter])) }
}

/** The membership after an answer; an empty one names nobody new and lets nobody go early. */
export function answered(before: Membership, answer: readonly string[], now: number): Membership {
  const present = new Set(answer)
  const leaving = new Map<string, number>()
  for (const [address, until] of before.leaving) if (!present.has(address) && until > now) leaving.set(address, until)
  for (const address of before.present) if (!present.has(address)) leaving.set(address, now + leaveAfter)
  return { present, leaving }
}

/** Everybody who is sent to, sorted, so that equal memberships are equal lists. */
export function membersOf({ present, leaving }: Membership): string[] {
  return [...new Set([...present, ...leaving.keys()])].sort()
}
