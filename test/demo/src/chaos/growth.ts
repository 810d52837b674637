/** Whether the system holds more than it did after warming up. */
import type { Footprint, HostFootprint, ProgramFootprint } from '@vpn-gateway/lab'

/**
 * What a program may have more. An agent has requests, probes and programs under way at any time, and V8 lets its heap grow
 * by tens of MiB before it collects what is old; other programs have neither.
 */
const allowed = {
  agent: { descriptors: 8, memoryMiB: 32 },
  other: { descriptors: 4, memoryMiB: 4 },
}
const allowedTo = (program: string) => (program.endsWith('-agent') ? allowed.agent : allowed.other)
/** MiB: connection tables, and what the kernel keeps of a deleted namespace until it gets round to it. */
const moreKernelMemory = 16

const objects = ['rules', 'routes', 'policies', 'links'] as const

/** What has grown, one line each. Hosts of one kind are compared together, since routers change their parts. */
export function growth(before: Footprint, now: Footprint): string[] {
  const found: string[] = []
  const same = (what: string, then: number, here: number) => {
    if (here !== then) found.push(`${what}: ${here}, ${then} before`)
  }
  const atMost = (what: string, most: number, here: number, then: number) => {
    if (here > most) found.push(`${what}: ${Math.round(here)}, ${Math.round(then)} before`)
  }
  same('namespaces', before.namespaces, now.namespaces)
  atMost('kernel memory in MiB', before.kernelMiB + moreKernelMemory, now.kernelMiB, before.kernelMiB)
  for (const kind of kindsOf(before)) {
    const [then, here] = [hostsOf(before, kind), hostsOf(now, kind)]
    for (const object of objects) {
      const sum = (hosts: Record<string, HostFootprint>) =>
        Object.values(hosts).reduce((total, host) => total + host[object], 0)
      same(`${object} of ${kind}s`, sum(then), sum(here))
    }
    for (const program of programsOf(then)) {
      const all = (hosts: Record<string, HostFootprint>) =>
        Object.values(hosts).flatMap((host) => host.programs[program] ?? [])
      const most = (field: keyof ProgramFootprint) => Math.max(...all(then).map((each) => each[field]))
      const processes = (hosts: Record<string, HostFootprint>) =>
        all(hosts).reduce((total, each) => total + each.processes, 0)
      same(`processes of ${program}`, processes(then), processes(here))
      for (const [host, { programs }] of Object.entries(here)) {
        const { descriptors = 0, memoryMiB = 0 } = programs[program] ?? {}
        const name = `${program} of ${host}`
        const [usual, usualMiB] = [most('descriptors'), most('memoryMiB')]
        const more = allowedTo(program)
        atMost(`descriptors of ${name}`, usual + more.descriptors, descriptors, usual)
        atMost(`memory of ${name} in MiB`, usualMiB + more.memoryMiB, memoryMiB, usualMiB)
      }
    }
  }
  return found
}

const kindOf = (host: string): string => host.slice(0, host.lastIndexOf('-'))
const kindsOf = ({ hosts }: Footprint): Set<string> => new Set(Object.keys(hosts).map(kindOf))
const hostsOf = ({ hosts }: Footprint, kind: string): Record<string, HostFootprint> =>
  Object.fromEntries(Object.entries(hosts).filter(([host]) => kindOf(host) === kind))
const programsOf = (hosts: Record<string, HostFootprint>): Set<string> =>
  new Set(Object.values(hosts).flatMap(({ programs }) => Object.keys(programs)))
