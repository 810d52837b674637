/** What the API server answers with, as far as it is needed. Whatever else stands there, the types are true. */

/** An object of any kind. */
interface ApiObject {
  /** Empty where it has none. */
  name: string
  /** Absent where it has none. */
  version?: string
  /** As it came. */
  value: unknown
}

/** One page of a list. */
export interface ListPage {
  items: ApiObject[]
  version?: string
  /** What the next page is asked for by; absent on the last. */
  more?: string
}

/** One line of a watch; `code` and `message` are those of a Status. */
export interface WatchEvent {
  type: string
  object: ApiObject & { code: number; message: string }
}

/** Reads a list (meta/v1 ListMeta); throws when it is none. */
export function readList(answer: unknown): ListPage {
  const { items, metadata } = membersOf(answer)
  if (!Array.isArray(items)) throw new Error('the answer is no list of objects')
  const { resourceVersion, continue: more } = membersOf(metadata)
  return {
    items: items.map(readObject),
    ...(isText(resourceVersion) ? { version: resourceVersion } : {}),
    ...(isText(more) ? { more } : {}),
  }
}

/** Reads a line of a watch (meta/v1 WatchEvent); throws when it is none. */
export function readWatchEvent(line: string): WatchEvent {
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch (error) {
    throw new Error('the watch told what is no JSON', { cause: error })
  }
  const { type, object } = membersOf(event)
  if (!isText(type)) throw new Error('the watch told no event')
  const { code, message } = membersOf(object)
  return {
    type,
    object: {
      ...readObject(object),
      code: Number.isSafeInteger(code) ? Number(code) : 0,
      message: isText(message) ? message : '',
    },
  }
}

function readObject(value: unknown): ApiObject {
  const { name, resourceVersion } = membersOf(membersOf(value)['metadata'])
  return {
    name: isText(name) ? name : '',
    ...(isText(resourceVersion) ? { version: resourceVersion } : {}),
    value,
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** Members of a JSON object; none of anything else. */
export function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
