/** Parses the JSON array that iproute2 prints; nothing at all, as it prints for an empty list, is an empty array. */
export function parseJsonArray<T>(text: string): T[] {
  if (text.trim() === '') return []
  const value: unknown = JSON.parse(text)
  // iproute2 prints an empty object where a filter matched nothing (`[{}]`).
  return Array.isArray(value) ? (value.filter((item) => Object.keys(item as object).length > 0) as T[]) : []
}
