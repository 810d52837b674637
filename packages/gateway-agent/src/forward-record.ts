/** What applications and the next process need to know of the forwards, as one JSON document. */
import { readTextFile } from '@vpn-gateway/config'
import { replaceFile, type Component } from '@vpn-gateway/runtime'
import type { ForwardTarget } from './forward.ts'
import type { LeaseWish } from './lease-server.ts'
import type { LeasedPort } from './leases.ts'

/** How a leased port came to be and how long it lasts. */
interface LeaseRecord {
  protocol: 'nat-pmp'
  server: string
  internalPort: number
  /** Unix seconds; absent while no port is held. */
  expiresAt?: number
  /** The exit's address as the server says it; absent while unknown. */
  externalAddress?: string
  /** Why the last request got nothing. */
  problem?: string
}

/** One forward and protocol. */
export interface ForwardRecord extends ForwardTarget {
  /** Port at the exit; absent while a leased one is not held. */
  port?: number
  /** Absent where the port is fixed. */
  lease?: LeaseRecord
}

/** The document that is written and sent. */
export interface ForwardDocument {
  /** Name of the gateway. */
  gateway: string
  forwards: ForwardRecord[]
}

/** Puts forwards and leases together. Pure. */
export function forwardRecords(
  targets: readonly (ForwardTarget & { port?: number })[],
  leased: readonly LeasedPort[],
): ForwardRecord[] {
  return targets.map((target) => {
    const found = leased.find(({ name, protocol }) => name === target.name && protocol === target.protocol)
    if (found === undefined) return target
    const { server, internalPort, externalPort, expiresAt, externalAddress, problem } = found
    return {
      ...target,
      ...(externalPort === undefined ? {} : { port: externalPort }),
      lease: {
        protocol: 'nat-pmp',
        server,
        internalPort,
        ...(expiresAt === undefined ? {} : { expiresAt }),
        ...(externalAddress === undefined ? {} : { externalAddress }),
        ...(problem === undefined ? {} : { problem }),
      },
    }
  })
}

/**
 * Reads what an earlier process wrote, and gives back the lease that it held for a wish. A file that is absent or is not
 * such a document holds none: the provider will be asked anyway.
 */
export async function readLeases(
  path: string,
): Promise<(wish: LeaseWish) => { externalPort: number; expiresAt: number } | undefined> {
  return leasesIn(await readTextFile(path, longestFile).catch(() => ''))
}

/** The same of a text that stands in the file. */
export function leasesIn(text: string): (wish: LeaseWish) => { externalPort: number; expiresAt: number } | undefined {
  const document = parseDocument(text)
  const records = Array.isArray(document?.forwards) ? document.forwards : []
  return ({ name, protocol, server, internalPort }) => {
    const record = records.find((each) => each?.name === name && each.protocol === protocol)
    const { port, lease } = record ?? {}
    if (lease?.server !== server || lease.internalPort !== internalPort) return undefined
    if (!isPort(port) || !isTime(lease.expiresAt) || lease.expiresAt * 1000 <= Date.now()) return undefined
    return { externalPort: port, expiresAt: lease.expiresAt }
  }
}

/** Leased ports as an agent that starts has them: those that the file says are held, and those that are to be asked for. */
export async function leasesHeld(path: string, wishes: readonly LeaseWish[]): Promise<LeasedPort[]> {
  const held = await readLeases(path)
  return wishes.map((wish) => ({ ...wish, ...held(wish), formerPorts: [] }))
}

function parseDocument(text: string): Partial<ForwardDocument> | null {
  try {
    return JSON.parse(text) as Partial<ForwardDocument> | null
  } catch {
    return null
  }
}

/** Bytes; a forward takes a few hundred. What is cut off is no JSON. */
const longestFile = 1024 * 1024

/** Unix seconds that are a number: JSON's 1e999 is none. */
function isTime(value: unknown): value is number {
  return Number.isFinite(value)
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65535
}

/** Milliseconds from a failure to write to the next try. */
const retry = 5000

/** A file that follows the document. */
export interface ForwardFile extends Component {
  /** Writes the document as it is now, once what is being written is there. */
  update(): void
}

/** Keeps `path` as the document is; a failure is logged, once for each reason, and tried again. */
export function createForwardFile(options: {
  path: string
  document: () => ForwardDocument
  log: { warn(fields: object, message: string): void }
}): ForwardFile {
  const { path, document, log } = options
  let running: Promise<void> | undefined
  let again = false
  let stopped = true
  let failure: string | undefined
  let timer: NodeJS.Timeout | undefined

  async function write(): Promise<void> {
    clearTimeout(timer)
    try {
      await replaceFile(path, `${JSON.stringify(document(), null, 2)}\n`)
      failure = undefined
    } catch (error) {
      // The text names the temporary file, which is another one each time.
      const { code, message } = error as NodeJS.ErrnoException
      const reason = code ?? message
      if (reason !== failure) log.warn({ path, reason }, 'forwards not written')
      failure = reason
      if (!stopped) timer = setTimeout(update, retry)
    }
  }

  function update(): void {
    if (stopped) return
    if (running !== undefined) {
      again = true
      return
    }
    running = write().finally(() => {
      running = undefined
      const more = again
      again = false
      if (more) update()
    })
  }

  return {
    name: 'forward-file',
    async start() {
      stopped = false
      update()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
    update,
  }
}
