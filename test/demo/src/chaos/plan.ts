/** Chooses faults by a seed alone, before the first one happens, so that nothing depends on how fast the machine is. */
import { below, drawer, pick, type Draw } from '../../../fuzz/src/draw.ts'
import { faultNames, goTogether, kindOf, type Fault, type FaultName, type Round } from './catalog.ts'

/** Of a hundred rounds, in how many a second fault happens while the first one lasts. */
const pairsOfHundred = 35
/** Second faults that are tried before a round stays with one. */
const tries = 10

/**
 * The first `count` rounds of a seed: those of a smaller count are its beginning. Every fault of the list comes once before
 * any comes again, in an order of its own each time.
 */
export function drawRounds(seed: number, count: number): Round[] {
  const draw = drawer(seed)
  let bag: FaultName[] = []
  return Array.from({ length: count }, () => {
    if (bag.length === 0) bag = shuffled(draw, faultNames)
    const first = drawFault(draw, bag.pop() ?? 'router-cut', 0)
    if (below(draw, 100) >= pairsOfHundred) return [first]
    const second = drawSecond(draw, first)
    return second === undefined ? [first] : [first, second]
  })
}

function drawFault(draw: Draw, fault: FaultName, afterMs: number): Fault {
  const { targets, detail, lasts } = kindOf(fault)
  const [least, most] = lasts
  return {
    fault,
    on: pick(draw, targets),
    ...(detail === undefined ? {} : { detail: pick(draw, detail.of) }),
    afterMs,
    forMs: least * 1000 + below(draw, (most - least) * 1000 + 1),
  }
}

/** Another fault that begins while the first one lasts. */
function drawSecond(draw: Draw, first: Fault): Fault | undefined {
  for (let left = tries; left > 0; left -= 1) {
    const second = drawFault(draw, pick(draw, faultNames), below(draw, first.forMs + 1))
    if (goTogether(first, second)) return second
  }
  return undefined
}

function shuffled<T>(draw: Draw, items: readonly T[]): T[] {
  const left = [...items]
  const result: T[] = []
  while (left.length > 0) result.push(...left.splice(below(draw, left.length), 1))
  return result
}
