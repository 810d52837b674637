/** Counters that conntrackd(8) keeps, from `conntrackd -s`. */
export interface ConntrackdStats {
  /** Flows that this router knows of by itself. */
  cached: number
  cache: ObjectCounters
  /** Flows that the other router told of and that went into the kernel. */
  injected: ObjectCounters
  sentBytes: number
  receivedBytes: number
  sentPackets: number
  receivedPackets: number
  sendErrors: number
  receiveErrors: number
  malformedMessages: number
  lostMessages: number
}

export interface ObjectCounters {
  created: Counted
  updated: Counted
  destroyed: Counted
}

interface Counted {
  total: number
  failed: number
}

/** Parses the text of `conntrackd -s`: a heading without indentation, then lines of numbers with what they count. */
export function parseConntrackdStats(text: string): ConntrackdStats {
  const sections = new Map<string, string[]>()
  let section: string[] = []
  for (const line of text.split('\n')) {
    const heading = /^([a-z ]+?)(?: \(.*\))?:\s*$/.exec(line)
    if (heading === null) section.push(line)
    else sections.set(heading[1] ?? '', (section = []))
  }
  const lines = (name: string) => sections.get(name) ?? []
  const counted = (name: string, what: string): number => {
    const found = lines(name).flatMap((line) => new RegExp(`(?<!\\d)(\\d+) ${what}(?:\\s|$)`).exec(line)?.[1] ?? [])
    return Number(found[0] ?? 0)
  }
  const cache = lines('cache internal')
  return {
    cached: Number(/current active connections:\s+(\d+)/.exec(cache.join('\n'))?.[1] ?? 0),
    cache: objectCounters(cache),
    injected: objectCounters(lines('external inject')),
    sentBytes: counted('multicast traffic', 'Bytes sent'),
    receivedBytes: counted('multicast traffic', 'Bytes recv'),
    sentPackets: counted('multicast traffic', 'Pckts sent'),
    receivedPackets: counted('multicast traffic', 'Pckts recv'),
    sendErrors: counted('multicast traffic', 'Error send'),
    receiveErrors: counted('multicast traffic', 'Error recv'),
    malformedMessages: counted('message tracking', 'Malformed msgs'),
    lostMessages: counted('message tracking', 'Lost msgs'),
  }
}

function objectCounters(lines: readonly string[]): ObjectCounters {
  const of = (what: string): Counted => {
    const [, total = 0, failed = 0] =
      new RegExp(`connections ${what}:\\s+(\\d+)\\s+failed:\\s+(\\d+)`).exec(lines.join('\n')) ?? []
    return { total: Number(total), failed: Number(failed) }
  }
  return { created: of('created'), updated: of('updated'), destroyed: of('destroyed') }
}
