/** The life of one leased port: asked for, renewed at half its time, lapsed. Pure; times are seconds of one clock. */

/** What is held of the provider. */
export interface LeaseMapping {
  /** Port at the exit, 1 to 65535. */
  externalPort: number
  expiresAt: number
}

/** A leased port as it stands. */
export interface Lease {
  mapping?: LeaseMapping
  /** The port that was held last, which would be welcome again; 0 when there was none. */
  lastPort: number
  /** Ports that were held before, at this exit or another, and whose time is not over: packets to them may still come. */
  former: readonly LeaseMapping[]
  /** When to ask next. */
  dueAt: number
  /** Seconds from the next failure to the try after it. */
  wait: number
  /** Why the last request got nothing; absent after one that did. */
  problem?: string
}

/** Former ports that are kept, the latest; each has rules in the kernel, and a server may pick another one each time. */
const mostFormer = 8

/** Seconds from a failure that the server told to the next try; doubles. */
const retry = [5, 60] as const

/** A lease that is asked for at once; `held` is what an earlier process was granted. */
export function newLease(now: number, held?: LeaseMapping): Lease {
  const lease: Lease = { lastPort: held?.externalPort ?? 0, former: [], dueAt: now, wait: retry[0] }
  return held === undefined ? lease : { ...lease, mapping: held }
}

/** After the server granted a port for `lifetime` seconds. It is renewed at half of that (RFC 6886, section 3.3). */
export function granted(lease: Lease, grant: { externalPort: number; lifetime: number }, now: number): Lease {
  const { mapping, former } = lapsed(lease, now)
  const { externalPort, lifetime } = grant
  const before = mapping === undefined ? former : [...former, mapping]
  return {
    mapping: { externalPort, expiresAt: now + lifetime },
    lastPort: externalPort,
    former: before.filter((port) => port.externalPort !== externalPort).slice(-mostFormer),
    // A second at least: a server that grants next to nothing must not be asked without end.
    dueAt: now + Math.max(lifetime / 2, 1),
    wait: retry[0],
  }
}

/** After the server said no. What is held stays until its time is over. */
export function failed(lease: Lease, problem: string, now: number): Lease {
  return { ...lease, problem, dueAt: now + lease.wait, wait: Math.min(lease.wait * 2, retry[1]) }
}

/**
 * After the tunnel went on to another exit: what is held is a port at the one before. It is translated while its time lasts,
 * since packets may still come, and asked for again, but nobody is told of it any more.
 */
export function left(lease: Lease): Lease {
  const { mapping, former, ...rest } = lease
  return mapping === undefined ? lease : { ...rest, former: [...former, mapping].slice(-mostFormer) }
}

/** Asks at once, without forgetting anything: the server lost its memory, or it is another one. */
export function doubted(lease: Lease, now: number): Lease {
  return { ...lease, dueAt: now, wait: retry[0] }
}

/** Without what is no longer granted; the same value when nothing is over. */
export function lapsed(lease: Lease, now: number): Lease {
  const { mapping, ...rest } = lease
  const former = lease.former.filter(({ expiresAt }) => expiresAt > now)
  const over = mapping !== undefined && mapping.expiresAt <= now
  if (!over && former.length === lease.former.length) return lease
  return over || mapping === undefined ? { ...rest, former } : { ...rest, mapping, former }
}

/** A server's word on how long it remembers, and when it was heard. */
export interface Epoch {
  /** Seconds, as the server counts. */
  seconds: number
  at: number
}

/**
 * Whether the server forgot its mappings since `before`: its clock fell more than two seconds behind seven eighths of
 * ours (RFC 6886, section 3.6).
 */
export function lostState(before: Epoch | undefined, now: Epoch): boolean {
  return before !== undefined && now.seconds < before.seconds + (now.at - before.at) * (7 / 8) - 2
}

/** Milliseconds to wait for the answer to a request that was sent `times` times before (RFC 6886, section 3.1). */
export function answerTimeout(times: number): number {
  return Math.min(250 * 2 ** times, 64_000)
}
