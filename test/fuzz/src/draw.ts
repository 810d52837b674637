/** Numbers from 0 to 1, 1 left out, that follow from a seed alone. */
export type Draw = () => number

/** Mulberry32: fast, and good enough to choose damages and faults. */
export function drawer(seed: number): Draw {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A whole number from 0, less than `end`. */
export const below = (draw: Draw, end: number): number => Math.floor(draw() * end)

/** One of the items, of which there is at least one. */
export const pick = <T>(draw: Draw, items: readonly T[]): T => items[below(draw, items.length)] as T
