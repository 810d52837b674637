/**
 * A kind of Kubernetes objects, followed: listed once in pages, then watched from the version that the list had. A version
 * that the server has forgotten (410 Gone) means to list anew; every other end of a watch is taken up where it was left.
 */
import { splitLines } from '@vpn-gateway/kernel'
import type { Log } from '@vpn-gateway/runtime'
import type { Readable } from 'node:stream'
import { readList, readWatchEvent, type WatchEvent } from './kubernetes-object.ts'
import { ApiError, get, getJson, type KubernetesApi } from './kubernetes-api.ts'

export interface ListWatchOptions<T> {
  api: KubernetesApi
  /** As in `/api/v1/nodes`. */
  path: string
  /** What is kept of an object. */
  pick: (object: unknown) => T
  /** Called with everything, by the objects' names, after a list and after each event. */
  onItems: (items: ReadonlyMap<string, T>) => void
  /** Called with why the objects cannot be followed now; undefined once they are again. */
  onProblem: (problem: string | undefined) => void
  log: Pick<Log, 'info' | 'warn'>
  /** Milliseconds before the next try after a failure, doubling from the first to the second. */
  backoff?: readonly [number, number]
}

/** Characters of one event; an object has at most a few million bytes (etcd's limit for a request). */
const longestEvent = 4 * 1024 * 1024
/** Objects in one page of a list. */
const pageSize = 100
/** Seconds after which the server ends a watch, so that load spreads over servers that came back. */
const watchSeconds = 300

/** Follows the objects until the signal aborts; resolves then. */
export async function listWatch<T>(options: ListWatchOptions<T>, signal: AbortSignal): Promise<void> {
  const { api, path, pick, onItems, onProblem, log, backoff = [1000, 30_000] } = options
  let items = new Map<string, T>()
  let version: string | undefined
  let wait = backoff[0]

  async function list(): Promise<void> {
    const found = new Map<string, T>()
    let next: string | undefined
    let listed: string | undefined
    let before = 0
    do {
      const query = new URLSearchParams({ limit: String(pageSize), ...(next === undefined ? {} : { continue: next }) })
      const page = readList(await getJson(api, `${path}?${query.toString()}`, signal))
      for (const { name, value } of page.items) found.set(name, pick(value))
      // A page that brings nothing new and says that there is more would go on for ever.
      if (page.more !== undefined && found.size <= before) throw new Error(`GET ${path}: the list does not end`)
      before = found.size
      next = page.more
      listed = page.version
    } while (next !== undefined)
    items = found
    version = listed
    onItems(items)
  }

  async function watch(from: string): Promise<void> {
    const query = new URLSearchParams({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: from,
      timeoutSeconds: String(watchSeconds + Math.floor(Math.random() * watchSeconds)),
    })
    const response = await get(api, `${path}?${query.toString()}`, signal)
    onProblem(undefined)
    await readEvents(response, apply)
  }

  function apply({ type, object }: WatchEvent): void {
    if (type === 'ERROR') throw new ApiError(path, object.code, object.message)
    wait = backoff[0]
    version = object.version ?? version
    if (type === 'BOOKMARK') return
    if (type === 'DELETED') items.delete(object.name)
    else items.set(object.name, pick(object.value))
    onItems(items)
  }

  while (!signal.aborted) {
    const began = performance.now()
    try {
      if (version === undefined) await list()
      // A list without a version has nothing to watch from.
      if (version === undefined) throw new Error(`GET ${path}: the list has no resourceVersion`)
      await watch(version)
      // One that ends at once says nothing of why; it must not become a busy loop.
      if (performance.now() - began < backoff[0]) await pause(backoff[0], signal)
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof ApiError && error.status === 410) {
        log.info({ path }, 'version is gone: listing anew')
        version = undefined
        await pause(backoff[0], signal)
        continue
      }
      onProblem(error instanceof Error ? error.message : String(error))
      // What the server cannot explain may be the version's fault too.
      if (error instanceof ApiError) version = undefined
      await pause(wait, signal)
      wait = Math.min(wait * 2, backoff[1])
    }
  }
}

/** Tells of each event of a watch until its answer ends; rejects where one is not understood. */
export async function readEvents(answer: Readable, onEvent: (event: WatchEvent) => void): Promise<void> {
  const take = splitLines(longestEvent, (line) => {
    if (line !== '') onEvent(readWatchEvent(line))
  })
  // An event that is not understood ends the loop, and with it the answer: nobody would take what is left of it.
  for await (const part of answer.setEncoding('utf8')) take(part as string)
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
