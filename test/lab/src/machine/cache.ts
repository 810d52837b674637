/** Where the kernel, the running machines and the lab's state are kept between commands. */
import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The per-user cache directory: VPN_GATEWAY_CACHE, else vpn-gateway under XDG_CACHE_HOME or ~/.cache. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env['VPN_GATEWAY_CACHE']) return env['VPN_GATEWAY_CACHE']
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'vpn-gateway')
}

/** A short name that is the same for the same repository path, so that two clones have a lab each. */
export function repositoryKey(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 12)
}
