import { closest, distance } from 'fastest-levenshtein'

/** Letters that may be wrong, missing or too many. */
const mostOff = 2

/** The known word that was probably meant: at most two letters off; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  // The time that a comparison takes grows with both lengths, and a user's word may have any.
  if (known.every((name) => name.length + mostOff < word.length)) return undefined
  const best = closest(
    word.toLowerCase(),
    known.map((name) => name.toLowerCase()),
  )
  const name = known.find((candidate) => candidate.toLowerCase() === best)
  return name !== undefined && distance(best, word.toLowerCase()) <= mostOff ? name : undefined
}
