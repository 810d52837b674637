/** What the agent needs of the machine and of the pod, found out before anything is changed. */
import { addressPlan, rangeText, schedulersOf, UserError, type System } from '@vpn-gateway/config'
import {
  kernelModulesMissing,
  listAddresses,
  listLinks,
  missingBinaries,
  readConntrackCount,
  readIpvs,
  type Runner,
} from '@vpn-gateway/kernel'
import type { RouterOptions } from './options.ts'
import { pathsIn } from './paths.ts'
import { inCidr } from './range.ts'
import type { Router } from './router.ts'

/** Programs that the agent runs, each with its Debian package. */
const programs: Readonly<Record<string, string>> = {
  keepalived: 'keepalived',
  conntrackd: 'conntrackd',
  conntrack: 'conntrack',
  ip: 'iproute2',
  ipvsadm: 'ipvsadm',
  nft: 'nftables',
  'iptables-save': 'iptables',
  'iptables-restore': 'iptables',
  'ip6tables-save': 'iptables',
  'ip6tables-restore': 'iptables',
  mkfifo: 'coreutils',
  chrt: 'util-linux',
}

/** Throws a `UserError` that names each program which is not on PATH. */
export async function requirePrograms(): Promise<void> {
  const missing = await missingBinaries(Object.keys(programs))
  if (missing.length > 0) {
    throw new UserError(missing.map((name) => `program ${name}: not on PATH (Debian package ${programs[name]})`))
  }
}

/** Throws a `UserError` that names each kernel module which is not there. */
export async function requireModules(runner: Runner, system: System): Promise<void> {
  const schedulers = schedulersOf(system).map((scheduler) => `ip_vs_${scheduler}`)
  const listed = await kernelModulesMissing(['ip_vs', ...schedulers, 'nf_conntrack', 'nf_conntrack_netlink'])
  // A module that is built in shows in no list where the pod lacks /lib/modules and the kernel its symbols; what it does, it
  // shows.
  const works = await Promise.all(listed.map((name) => isWorking(runner, name)))
  const missing = listed.filter((_, index) => works[index] !== true)
  if (missing.length > 0) {
    throw new UserError(
      missing.map((name) => `kernel module ${name}: not loaded: expected "modprobe ${name}" on the node`),
    )
  }
}

async function isWorking(runner: Runner, module: string): Promise<boolean> {
  if (module === 'ip_vs') return (await readIpvs()) !== undefined
  if (module === 'nf_conntrack') return (await readConntrackCount()) !== undefined
  if (module !== 'nf_conntrack_netlink') return false
  return runner.run({ argv: ['conntrack', '-C'] }).then(
    () => true,
    () => false,
  )
}

/** Who this pod is, from what the CNI gave it. Throws a `UserError` for a link or an address that is not as expected. */
export async function identify(runner: Runner, system: System, options: RouterOptions): Promise<Router> {
  if (system.routerNetwork === undefined) {
    throw new UserError(`${options.config}: routerNetwork: missing: a router needs it`)
  }
  const { interface: link, routerInterface: syncLink } = options
  const [links, addresses] = await Promise.all([listLinks(runner), listAddresses(runner)])
  const absent = [link, syncLink].filter((name) => !links.some((each) => each.name === name))
  if (absent.length > 0) {
    throw new UserError(absent.map((name) => `interface ${name}: not present in this network namespace`))
  }
  const plan = addressPlan(system)
  const syncSubnet = system.routerNetwork.subnet
  const held = (name: string) =>
    addresses
      .filter(({ dev, family }) => dev === name && family === 4)
      .map(({ address }) => address.replace(/\/\d+$/, ''))
  const address = held(link).find((each) => plan.routerAddresses.includes(each))
  const syncAddress = held(syncLink).find((each) => inCidr(each, syncSubnet))
  const problems: string[] = []
  if (address === undefined) {
    const expected = `one of gatewayNetwork.routers, ${rangeText(system.gatewayNetwork.routers)}`
    problems.push(`interface ${link}: ${holds(held(link))}, expected ${expected}`)
  }
  if (syncAddress === undefined) {
    problems.push(
      `interface ${syncLink}: ${holds(held(syncLink))}, expected one in routerNetwork.subnet, ${syncSubnet}`,
    )
  }
  const paths = pathsIn(options.runDir)
  // sun_path of unix(7) holds 108 bytes with its terminating zero.
  if (Buffer.byteLength(paths.conntrackd.socket) > 107) {
    problems.push(`--run-dir: ${options.runDir}: expected a shorter path: a socket in it may have 107 bytes`)
  }
  if (address === undefined || syncAddress === undefined || problems.length > 0) throw new UserError(problems)
  return { system, plan, name: options.name, link, address, syncLink, syncAddress, syncSubnet, paths }
}

function holds(addresses: readonly string[]): string {
  return addresses.length === 0 ? 'has no IPv4 address' : `has ${addresses.join(', ')}`
}
