/** What checks share. */

/** Throws unless every text is one line of a length that a person reads. */
export function mustBeLines(texts: readonly string[]): void {
  if (texts.length === 0) throw new Error('no reason is given')
  for (const text of texts) {
    if (text.trim() === '') throw new Error('a reason is empty')
    if (/[\p{Cc}\u2028\u2029]/u.test(text)) throw new Error(`a reason is not one line: ${JSON.stringify(text)}`)
    if (text.length > 1000) throw new Error(`a reason has ${text.length} characters`)
  }
}

/** Throws unless each is a finite number. */
export function mustBeNumbers(values: readonly unknown[]): void {
  for (const value of values) {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error(`${String(value)} is no number`)
  }
}
