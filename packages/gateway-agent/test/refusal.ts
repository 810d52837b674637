/** What the refusal of a tunnel file has to say, and what it must not. */

/** Throws unless every problem is one line that names file, line within the text, and reason, without any of a key. */
export function checkProblems(problems: readonly string[], text: string, secrets: readonly string[]): void {
  const lines = text.split('\n').length
  for (const problem of problems) {
    const [, number] = /^wg\.conf:(\d+): \S[^\r\n]*$/.exec(problem) ?? []
    if (!(Number(number) >= 1 && Number(number) <= lines)) throw new Error(`no line and reason: ${problem}`)
  }
  // In any case of letters, since sections and keys are read so.
  const said = problems.join('\n').toLowerCase()
  for (const piece of secrets) if (said.includes(piece)) throw new Error('a problem shows a part of a key')
}

/** Any ten characters of a secret in a row; fewer would be met by chance. */
export function piecesOf(secret: string): string[] {
  return Array.from({ length: secret.length - 9 }, (_, at) => secret.slice(at, at + 10).toLowerCase())
}
