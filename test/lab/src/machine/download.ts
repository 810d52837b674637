/** Packages of the distribution, downloaded and not installed: that takes no root. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from '@vpn-gateway/config'
import { execa } from 'execa'
import type { Log } from './machine.ts'

/** apt-get's options for package lists of our own, which any user may fetch and which leave the system's alone. */
async function privateLists(directory: string): Promise<string[]> {
  for (const part of ['state/lists/partial', 'cache/archives/partial']) {
    await mkdir(join(directory, part), { recursive: true })
  }
  const settings = [
    `Dir::State=${join(directory, 'state')}`,
    `Dir::Cache=${join(directory, 'cache')}`,
    'Dir::State::status=/var/lib/dpkg/status',
  ]
  return settings.flatMap((setting) => ['-o', setting])
}

/** Tells which packages are wanted, by apt's lists; `options` says which lists those are. */
export type ChoosePackages = (options: readonly string[]) => Promise<string[]>

async function download(
  directory: string,
  choose: ChoosePackages,
  options: readonly string[],
  log: Log,
): Promise<boolean> {
  const packages = await choose(options)
  if (packages.length === 0) return false
  log(`downloading ${packages.join(' ')}`)
  const { exitCode } = await execa(
    'apt-get',
    // apt's own user may not write into a directory of ours.
    [...options, '-q', '-o', 'APT::Sandbox::User=root', 'download', ...packages],
    { cwd: directory, reject: false, stdio: 'ignore' },
  )
  return exitCode === 0
}

/**
 * Downloads the packages that `choose` names into a directory, by the system's package lists, or by fresh ones of our own
 * where these are missing or too old. Throws a `UserError` with apt's words when there is no way.
 */
export async function downloadPackages(directory: string, choose: ChoosePackages, log: Log): Promise<void> {
  if (await download(directory, choose, [], log)) return
  log('fetching the package lists')
  const lists = await privateLists(directory)
  const update = await execa('apt-get', [...lists, '-q', '-o', 'APT::Sandbox::User=root', 'update'], {
    all: true,
    reject: false,
    env: { LC_ALL: 'C' },
  })
  if (update.exitCode === 0 && (await download(directory, choose, lists, log))) return
  const reason = update.all.split('\n').find((line) => /^[EW]:/.test(line)) ?? 'apt-get offers none'
  throw new UserError(`downloading the distribution's kernel failed: ${reason}`)
}
