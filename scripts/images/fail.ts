/** How `npm run images` ends when it cannot go on. */

/** The repository's root, with a slash at its end. */
export const repository = new URL('../..', import.meta.url).pathname

/** Ends the program with 1: what was asked for could not be done. */
export function fail(problem: string): never {
  console.error(problem)
  process.exit(1)
}

/** Ends the program with 2: what was asked for makes no sense here. */
export function wrong(problem: string): never {
  console.error(`images: ${problem}`)
  process.exit(2)
}
