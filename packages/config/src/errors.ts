/**
 * A mistake in what the user gave: a file, an option, a missing binary. `problems` are one line each and say which
 * field and what was expected. Programs print them and exit with 2; they never print a stack trace for one.
 */
export class UserError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[] | string) {
    const list = (typeof problems === 'string' ? [problems] : problems).map(asLine)
    super(list.join('\n'))
    this.name = 'UserError'
    this.problems = list
  }
}

/** Characters of a problem; what a user gave stands in it and may be of any length. */
const longestProblem = 1000

/** On one line, without what would make a terminal do more than show it. */
function asLine(text: string): string {
  const cut = text.length > longestProblem ? `${text.slice(0, longestProblem - 1)}…` : text
  return cut.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}
