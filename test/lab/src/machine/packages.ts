/** The Debian or Ubuntu packages that the lab's machine needs, and their installation without starting a service. */
import { chmod, readdir, rm, writeFile } from 'node:fs/promises'
import { UserError } from '@vpn-gateway/config'
import { execa } from 'execa'
import type { Log } from './machine.ts'

/** What runs inside: the daemons under test, the tools that set the kernel up, and those that watch it. */
const INSIDE = [
  'bash',
  'conntrack',
  'conntrackd',
  'containernetworking-plugins',
  'iproute2',
  'iptables',
  'iputils-arping',
  'iputils-ping',
  'ipvsadm',
  'keepalived',
  'kmod',
  'nftables',
  'procps',
  'tcpdump',
  'util-linux',
  'wireguard-tools',
] as const

/** What boots Debian's kernel over this machine's own files. */
const BOOT = ['busybox-static', 'cpio', 'qemu-system-x86', 'xz-utils', 'zstd'] as const

/** Names of the packages that a machine of this kind needs, sorted. */
export function neededPackages(kind: 'vm' | 'native'): string[] {
  return [...INSIDE, ...(kind === 'vm' ? BOOT : [])].sort()
}

/**
 * Those of `needed` that dpkg does not have installed. `status` is dpkg-query's output of one
 * `${Package} ${db:Status-Status}` a line; a package that was removed but not purged is listed as config-files.
 */
export function missingPackages(needed: readonly string[], status: string): string[] {
  const installed = new Set(
    status
      .split('\n')
      .map((line) => line.trim().split(' '))
      .filter((words) => words[1] === 'installed')
      .map((words) => words[0]),
  )
  return needed.filter((name) => !installed.has(name))
}

/** The command that a user would type to install these packages. */
export function installCommand(packages: readonly string[]): string {
  return `apt-get update && apt-get install --no-install-recommends ${packages.join(' ')}`
}

async function has(program: string): Promise<boolean> {
  const { exitCode } = await execa('sh', ['-c', 'command -v "$1"', 'sh', program], { reject: false })
  return exitCode === 0
}

/** The words before apt-get: none as root, sudo where it works without a terminal or one is there; else undefined. */
async function privilege(): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return []
  if (!(await has('sudo'))) return undefined
  if (process.stdin.isTTY) return ['sudo']
  const { exitCode } = await execa('sudo', ['-n', 'true'], { reject: false, stdio: 'ignore' })
  return exitCode === 0 ? ['sudo'] : undefined
}

const POLICY = '/usr/sbin/policy-rc.d'

/**
 * Runs `work` while no package may start a service: invoke-rc.d and deb-systemd-invoke ask /usr/sbin/policy-rc.d, and
 * its 101 means "not allowed". A file that is there already is the administrator's and stays as it is.
 */
async function withoutServices<T>(sudo: readonly string[], work: () => Promise<T>): Promise<T> {
  const policy = '#!/bin/sh\nexit 101\n'
  if (sudo.length > 0) {
    const created = await execa('sudo', ['sh', '-c', `set -C; cat >${POLICY} && chmod 755 ${POLICY}`], {
      input: policy,
      reject: false,
      stderr: 'ignore',
    })
    try {
      return await work()
    } finally {
      if (created.exitCode === 0) await execa('sudo', ['rm', '-f', POLICY])
    }
  }
  const created = await writeFile(POLICY, policy, { flag: 'wx', mode: 0o755 }).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false
      throw error
    },
  )
  const remove = (): void => void rm(POLICY, { force: true })
  if (created) {
    await chmod(POLICY, 0o755)
    process.once('SIGINT', remove).once('SIGTERM', remove)
  }
  try {
    return await work()
  } finally {
    process.off('SIGINT', remove).off('SIGTERM', remove)
    if (created) await rm(POLICY, { force: true })
  }
}

/**
 * Installs what is missing with apt-get. Throws a `UserError` with the command to run where this process may not, and
 * on a machine without dpkg; costs one dpkg-query when nothing is missing.
 */
export async function ensurePackages(kind: 'vm' | 'native', log: Log): Promise<void> {
  const needed = neededPackages(kind)
  if (!(await has('dpkg-query'))) {
    throw new UserError(`the lab needs Debian or Ubuntu (no dpkg-query here), with: ${needed.join(' ')}`)
  }
  const query = await execa('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n', ...needed], {
    reject: false,
    stderr: 'ignore',
  })
  const missing = missingPackages(needed, query.stdout)
  if (missing.length === 0) return
  const sudo = await privilege()
  if (sudo === undefined) throw new UserError(`packages are missing; as root, run: ${installCommand(missing)}`)

  log(`installing ${missing.length} Debian packages: ${missing.join(' ')}`)
  const apt = async (args: readonly string[]): Promise<string | undefined> => {
    // apt must not touch our standard output: its last line may be somebody's JSON.
    const [program, ...rest] = [...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C', 'apt-get', '-y', ...args]
    const result = await execa(program as string, rest, {
      all: true,
      reject: false,
      stdin: sudo.length > 0 ? 'inherit' : 'ignore',
    })
    return result.exitCode === 0 ? undefined : (result.all ?? '')
  }
  const failure = await withoutServices(sudo, async () => {
    const install = ['-q', '-o', 'Dpkg::Use-Pty=0', 'install', '--no-install-recommends', ...missing]
    // Lists that are absent or older than the archive make the first try fail; only then is fetching them worth it.
    if ((await readdir('/var/lib/apt/lists').catch(() => [])).length > 2) {
      if ((await apt(install)) === undefined) return undefined
    }
    log('fetching the package lists (apt-get update)')
    return (await apt(['-q', 'update'])) ?? (await apt(install))
  })
  if (failure !== undefined) {
    const reason = failure.split('\n').findLast((line) => line.startsWith('E:')) ?? failure.trim().split('\n').at(-1)
    throw new UserError(
      `installing packages failed (${reason ?? 'no reason given'}); as root, run: ${installCommand(missing)}`,
    )
  }
}
