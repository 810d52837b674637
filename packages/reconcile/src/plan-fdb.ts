import type { FdbEntry, Owner } from '@vpn-gateway/kernel'
import type { Step } from './step.ts'

/** The all-zero MAC is VXLAN's default destination: where floods go (bridge(8)). */
const defaultMac = '00:00:00:00:00:00'

/** Forwarding entries. Only default destinations on the owner's devices are its own; learned ones are the kernel's. */
export function planFdb(
  desired: readonly FdbEntry[] | undefined,
  observed: readonly FdbEntry[],
  owner: Owner,
): { append: Step[]; del: Step[] } {
  if (desired === undefined) return { append: [], del: [] }
  const key = (entry: FdbEntry) => `${entry.dev} ${entry.mac} ${entry.dst ?? ''}`
  const devices = new Set(owner.fdbDevices)
  const own = observed.filter((entry) => devices.has(entry.dev) && entry.mac === defaultMac)
  const held = new Set(own.map(key))
  const wanted = new Set(desired.map(key))
  return {
    append: desired
      .filter((entry) => !held.has(key(entry)))
      .map((entry) => ({ object: 'fdb', action: 'append', entry })),
    del: own.filter((entry) => !wanted.has(key(entry))).map((entry) => ({ object: 'fdb', action: 'del', entry })),
  }
}
