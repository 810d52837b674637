/** What grows a little after every round, and would pass any bound in the end. */
import type { Footprint } from '@vpn-gateway/lab'

/** So many rises with no fall between them are a leak: six looks are in their order by chance once in 720 times. */
const rises = 5
/** What counts as a rise of the kernel's memory, MiB: its tables breathe with the flows. */
const kernelStepMiB = 2

/** What has only ever grown lately, one line each. `looks` are those of a run in their order, the one before any fault first. */
export function rising(looks: readonly Footprint[]): string[] {
  const found: string[] = []
  const watch = (what: string, step: number, values: readonly number[]) => {
    const risen = climb(values, step)
    if (risen.length > rises) found.push(`${what} only rises: ${risen.map(Math.round).join(', ')}`)
  }
  watch(
    'kernel memory in MiB',
    kernelStepMiB,
    looks.map(({ kernelMiB }) => kernelMiB),
  )
  const last = looks.at(-1)
  for (const [host, { programs }] of Object.entries(last?.hosts ?? {})) {
    for (const program of Object.keys(programs)) {
      // Without the program at a look there is nothing that it could have kept.
      const values = looks.map(({ hosts }) => hosts[host]?.programs[program]?.descriptors ?? 0)
      watch(`number of descriptors of ${program} of ${host}`, 1, values)
    }
  }
  return found
}

/** The values since the last fall that each were a rise; a rise and a fall are at least one `step`, less is neither. */
function climb(values: readonly number[], step: number): number[] {
  const risen: number[] = []
  for (const value of values) {
    const level = risen.at(-1) ?? -Infinity
    if (value <= level - step) risen.length = 0
    if (value >= level + step || risen.length === 0) risen.push(value)
  }
  return risen
}
