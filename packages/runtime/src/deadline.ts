/** Milliseconds past a deadline: time to kill what did not end in time. */
const slack = 500

/**
 * Waits for work that was given a deadline, and for no more than half a second longer should it not heed it. Rejects as
 * the work does.
 */
export async function untilOverdue(work: Promise<unknown>, deadline: AbortSignal): Promise<'done' | 'overdue'> {
  let timer: NodeJS.Timeout | undefined
  let begin: () => void = () => undefined
  const overdue = new Promise<'overdue'>((resolve) => {
    begin = () => void (timer = setTimeout(resolve, slack, 'overdue'))
    if (deadline.aborted) begin()
    else deadline.addEventListener('abort', begin, { once: true })
  })
  try {
    return await Promise.race([work.then(() => 'done' as const), overdue])
  } finally {
    deadline.removeEventListener('abort', begin)
    clearTimeout(timer)
  }
}
