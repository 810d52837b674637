import type { Step } from './step.ts'

/** Kernel parameters; those that switch forwarding on come apart, because they must be the last of all. */
export function planSysctls(
  desired: Record<string, string> | undefined,
  observed: Record<string, string | undefined>,
): { early: Step[]; forwarding: Step[] } {
  const result: { early: Step[]; forwarding: Step[] } = { early: [], forwarding: [] }
  for (const [key, value] of Object.entries(desired ?? {})) {
    if (observed[key] === value) continue
    const enables = /(?:ip_forward|forwarding)$/.test(key) && value !== '0'
    result[enables ? 'forwarding' : 'early'].push({ object: 'sysctl', action: 'set', key, value })
  }
  return result
}
