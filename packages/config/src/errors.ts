/**
 * A mistake in what the user gave: a file, an option, a missing binary. `problems` are one line each and say which
 * field and what was expected. Programs print them and exit with 2; they never print a stack trace for one.
 */
export class UserError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[] | string) {
    const list = typeof problems === 'string' ? [problems] : problems
    super(list.join('\n'))
    this.name = 'UserError'
    this.problems = list
  }
}
