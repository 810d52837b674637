/** What a program printed is not what it is known to print. The message is one line and repeats nothing of it. */
export class OutputError extends Error {
  constructor(program: string, cause: unknown) {
    super(`${program}: printed what is not understood: expected a list in JSON with the known members`, { cause })
    this.name = 'OutputError'
  }
}

/** Parses the JSON array that iproute2 prints; nothing at all, as it prints for an empty list, is an empty array. */
function parseArray<T>(text: string): T[] {
  if (text.trim() === '') return []
  const value: unknown = JSON.parse(text)
  // iproute2 prints an empty object where a filter matched nothing (`[{}]`).
  return Array.isArray(value) ? (value.filter((item) => Object.keys(item as object).length > 0) as T[]) : []
}

/** Reads each item of the JSON array that `program` printed; throws an `OutputError` when one cannot be. */
export function readItems<T, R>(program: string, text: string, read: (item: T, index: number, all: T[]) => R[]): R[] {
  try {
    return parseArray<T>(text).flatMap(read)
  } catch (error) {
    throw error instanceof OutputError ? error : new OutputError(program, error)
  }
}
