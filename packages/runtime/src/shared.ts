/** A task that callers at the same time share one run of: a scrape asks for several metrics of one source. */
export function shared<T>(task: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return () =>
    (running ??= task().finally(() => {
      running = undefined
    }))
}
