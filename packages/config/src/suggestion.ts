import { closest, distance } from 'fastest-levenshtein'

/** The known word that was probably meant: at most two letters off; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined
  const best = closest(
    word.toLowerCase(),
    known.map((name) => name.toLowerCase()),
  )
  const name = known.find((candidate) => candidate.toLowerCase() === best)
  return name !== undefined && distance(best, word.toLowerCase()) <= 2 ? name : undefined
}
