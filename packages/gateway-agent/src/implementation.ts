import { UserError } from '@vpn-gateway/config'
import { CommandError, kernelModulesMissing, listLinks, missingBinaries, type Runner } from '@vpn-gateway/kernel'
import { existsSync } from 'node:fs'
import { tunnelLink } from './wireguard.ts'

/** What carries the tunnel: the kernel's WireGuard, or wireguard-go on a tun device where the kernel has none. */
export type Implementation = 'kernel' | 'userspace'

const trialLink = 'vg-trial'

/** Finds out which one this machine has, the kernel's first; throws a `UserError` when it has none. Changes nothing. */
export async function findImplementation(runner: Runner): Promise<Implementation> {
  // An earlier process' tunnel is at work: it stays what it is.
  if ((await listLinks(runner)).some(({ name, kind }) => name === tunnelLink && kind === 'tun')) return 'userspace'
  if (await kernelHasWireguard(runner)) return 'kernel'
  const lacking = [
    ...(await missingBinaries(['wireguard-go'])).map((name) => `program ${name} (Debian package ${name})`),
    ...(existsSync('/dev/net/tun') ? [] : ['device /dev/net/tun']),
  ]
  if (lacking.length === 0) return 'userspace'
  throw new UserError(
    `kernel module wireguard: not available on this machine; for WireGuard in userspace there is no ${lacking.join(' and no ')}`,
  )
}

async function kernelHasWireguard(runner: Runner): Promise<boolean> {
  if ((await kernelModulesMissing(['wireguard'])).length === 0) return true
  // The kernel loads the module by itself when a link of its type is made; nothing short of that tells whether it can.
  try {
    await runner.run({ argv: ['ip', 'link', 'add', 'name', trialLink, 'type', 'wireguard'] })
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    if (error.kind === 'not-permitted') throw new UserError('ip: not permitted: the agent needs CAP_NET_ADMIN')
    return false
  }
  await runner.run({ argv: ['ip', 'link', 'del', 'dev', trialLink] })
  return true
}
