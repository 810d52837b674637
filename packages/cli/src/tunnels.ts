/** The providers' files of a deployment, before they become a Secret. */
import { UserError } from '@vpn-gateway/config'
import { openTunnelFiles } from '@vpn-gateway/gateway-agent/tunnel-source'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Reads the files of each gateway, those that take turns included. Throws a `UserError` with one line for each that is
 * missing, wrong, or nobody's; where the number of gateways is not known, for each that is wrong.
 */
export async function requireTunnels(directory: string, gateways?: number): Promise<void> {
  const found = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    throw new UserError(`--tunnels: ${directory}: ${error.code}: expected a directory with gateway-0.conf and so on`)
  })
  const there = found.filter((name) => /^gateway-\d+\.conf$/.test(name)).sort()
  const expected =
    gateways === undefined ? there : Array.from({ length: gateways }, (_, index) => `gateway-${index}.conf`)
  const problems: string[] = []
  for (const name of expected) {
    if (!found.includes(name)) {
      problems.push(`--tunnels: ${name}: missing in ${directory}: expected one for each of ${gateways} gateways`)
      continue
    }
    try {
      await openTunnelFiles(join(directory, name))
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      problems.push(...error.problems)
    }
  }
  for (const name of there.filter((each) => !expected.includes(each))) {
    problems.push(`--tunnels: ${name}: no such gateway: there are ${gateways} (--gateways N says otherwise)`)
  }
  if (problems.length > 0) throw new UserError(problems)
}
