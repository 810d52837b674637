/** What the lab holds: objects in its kernels and processes, to be compared with what it held before. */
import { readFileSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { LabContext } from './context.ts'
import { listNamespaces, processesIn, runIn } from './topology/namespace.ts'

/** One of the product's programs in one namespace. */
export interface ProgramFootprint {
  processes: number
  /** Open file descriptors of all of its processes: the fewest of some looks, since requests and programs under way have some too. */
  descriptors: number
  /** Resident memory of all of its processes, MiB. */
  memoryMiB: number
}

/** What one pod or node holds. */
export interface HostFootprint {
  /** Rules of all packet filters, those of iptables included. */
  rules: number
  /** IPv4 routes of all tables but `local`, where every address has its own. */
  routes: number
  /** Policy rules. */
  policies: number
  links: number
  programs: Record<string, ProgramFootprint>
}

export interface Footprint {
  namespaces: number
  /** Memory of the kernel that it cannot give back (SUnreclaim of proc(5)), MiB. */
  kernelMiB: number
  hosts: Record<string, HostFootprint>
}

/** The product's programs by what their command lines begin with, `node` and its flags aside. */
const programs = ['gateway-agent', 'router-agent', 'node-agent', 'keepalived', 'conntrackd', 'wireguard-go']
/** What agents listen to their kernel with, which an agent that ends badly may leave behind. */
const listeners = new Set(['ip', 'nft'])

const looks = 10
const lookEveryMs = 300

/** Measures gateways, routers and nodes. */
export async function footprint({ runner, topology }: LabContext): Promise<Footprint> {
  const hosts = [...topology.nodes, ...topology.pods.filter(({ kind }) => kind !== 'client')].map(({ name }) => name)
  const objects = async (host: string): Promise<Omit<HostFootprint, 'programs'>> => {
    const script = 'nft -a list ruleset; echo ==; ip -4 route show table all; echo ==; ip rule; echo ==; ip -o link'
    return countObjects(await runIn(runner, host, ['sh', '-c', script]))
  }
  const counted = await Promise.all(hosts.map(objects))
  const pids = new Map(hosts.map((host) => [host, processesIn(host)]))
  let seen = hosts.map((host) => programsOf(pids.get(host) ?? []))
  for (let look = 1; look < looks; look += 1) {
    await delay(lookEveryMs)
    seen = seen.map((before, index) => fewest(before, programsOf(pids.get(hosts[index] ?? '') ?? [])))
  }
  return {
    namespaces: listNamespaces().length,
    kernelMiB: kernelMemory(),
    hosts: Object.fromEntries(
      hosts.map((host, index) => [
        host,
        { ...(counted[index] ?? { rules: 0, routes: 0, policies: 0, links: 0 }), programs: seen[index] ?? {} },
      ]),
    ),
  }
}

/** Counts in the output of the four commands, which `==` stands between. */
export function countObjects(text: string): Omit<HostFootprint, 'programs'> {
  const [ruleset = '', routes = '', policies = '', links = ''] = text.split('==\n')
  const lines = (part: string): string[] => part.split('\n').filter((line) => line.trim() !== '')
  return {
    // `-a` ends every rule's line, and those that open a table or chain, with a handle.
    rules: lines(ruleset).filter((line) => /[^{] # handle \d+$/.test(line)).length,
    routes: lines(routes).filter((line) => !/\btable local\b/.test(line)).length,
    policies: lines(policies).length,
    links: lines(links).length,
  }
}

function programsOf(pids: readonly number[]): Record<string, ProgramFootprint> {
  const found: Record<string, ProgramFootprint> = {}
  for (const pid of pids) {
    const program = programOf(pid)
    if (program === undefined) continue
    const before = found[program] ?? { processes: 0, descriptors: 0, memoryMiB: 0 }
    found[program] = {
      processes: before.processes + 1,
      descriptors: before.descriptors + descriptorsOf(pid),
      memoryMiB: before.memoryMiB + memoryOf(pid),
    }
  }
  return found
}

function fewest(
  before: Record<string, ProgramFootprint>,
  now: Record<string, ProgramFootprint>,
): Record<string, ProgramFootprint> {
  return Object.fromEntries(
    Object.entries(now).map(([program, seen]) => {
      const descriptors = Math.min(seen.descriptors, before[program]?.descriptors ?? Infinity)
      return [program, { ...seen, descriptors }]
    }),
  )
}

function programOf(pid: number): string | undefined {
  const words = read(`/proc/${pid}/cmdline`).split('\0').filter(Boolean)
  // A router asks its conntrackd by another one that ends at once (`-C FILE -s`), and has files tested.
  if ((words[0] === 'conntrackd' && words.length > 3) || words.includes('--config-test')) return undefined
  const [first = ''] = words
  if (listeners.has(first) && words.includes('monitor')) return `${first} monitor`
  return programs.find((name) => words.slice(0, 4).some((word) => basename(word, '.mjs') === name))
}

function descriptorsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}

const memoryOf = (pid: number): number => kibibytes(read(`/proc/${pid}/status`), 'VmRSS') / 1024
const kernelMemory = (): number => kibibytes(read('/proc/meminfo'), 'SUnreclaim') / 1024
const kibibytes = (text: string, field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)

/** Text of a file of proc(5); empty for a process that has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
