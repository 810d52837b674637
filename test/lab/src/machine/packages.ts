/** The Debian or Ubuntu packages that the lab's machine needs, and their installation without a service. */
import { readdir } from 'node:fs/promises'
import { UserError } from '@vpn-gateway/config'
import { execa } from 'execa'
import type { Log } from './machine.ts'

/** What runs inside: the daemons under test, the tools that set the kernel up, and those that watch it. */
const INSIDE = [
  'bash',
  'conntrack',
  'conntrackd',
  'containernetworking-plugins',
  'crun',
  'dnsmasq-base',
  'iproute2',
  'iptables',
  'iputils-arping',
  'iputils-ping',
  'ipvsadm',
  'keepalived',
  'kmod',
  'miniupnpd-nftables',
  'nftables',
  'procps',
  'tcpdump',
  'util-linux',
  'wireguard-go',
  'wireguard-tools',
] as const

/** What boots Debian's kernel over this machine's own files. */
const BOOT = ['busybox-static', 'cpio', 'qemu-system-x86', 'xz-utils', 'zstd'] as const

/** What builds a user-mode kernel. */
const USER_MODE = ['bc', 'bison', 'bzip2', 'flex', 'gcc', 'libc6-dev', 'make', 'patch', 'xz-utils'] as const

/**
 * What builds images and makes their base, and the default seccomp profile of container runtimes. The base is Debian's, whose
 * keys Ubuntu does not have.
 */
const IMAGES = ['buildah', 'debian-archive-keyring', 'golang-github-containers-common', 'mmdebstrap'] as const

/** What measures throughput. */
const BENCH = ['iperf3'] as const

/** What packages are for: a virtual machine, a user-mode kernel, the lab on this machine's own, images, or benchmarks. */
export type Purpose = 'vm' | 'user-mode' | 'native' | 'images' | 'bench'

/** Names of the packages that are needed for a purpose, sorted. */
export function neededPackages(purpose: Purpose): string[] {
  if (purpose === 'images') return [...IMAGES]
  if (purpose === 'bench') return [...BENCH]
  if (purpose === 'user-mode') return [...USER_MODE]
  return [...INSIDE, ...(purpose === 'vm' ? BOOT : [])].sort()
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

/** The words before apt-get: none as root, sudo where it asks nothing or a terminal to ask on is there; else undefined. */
async function privilege(): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return []
  if (!(await has('sudo'))) return undefined
  const { exitCode } = await execa('sudo', ['-n', 'true'], { reject: false, stdio: 'ignore' })
  if (exitCode === 0) return ['sudo']
  if (!process.stdin.isTTY) return undefined
  // Now, before anybody draws over the question.
  const asked = await execa('sudo', ['--validate'], { reject: false, stdio: 'inherit' })
  return asked.exitCode === 0 ? ['sudo'] : undefined
}

const POLICY = '/usr/sbin/policy-rc.d'

/** Packages that have a service which dpkg enables for the next boot, under the package's own name. */
const SERVICES: readonly string[] = ['conntrackd', 'iperf3', 'ipvsadm', 'keepalived', 'nftables']

/**
 * Runs apt-get for root, `sh -c APT_SCRIPT sh POLICY "SERVICE..." ARGUMENT...`. No package may start a service
 * meanwhile: invoke-rc.d and deb-systemd-invoke ask the policy file, and its 101 means "not allowed"; one that is there
 * already is the administrator's and stays. Of the services named, none is left enabled. One shell does all of it, so
 * that it is also done when whoever started it is gone: a shell ends by its traps once apt-get has ended.
 * deb-systemd-helper does nothing unless a package's script seems to call it.
 */
export const APT_SCRIPT = `policy=$1 services=$2 created=
shift 2
leave() {
  code=$?
  trap '' INT TERM HUP
  [ -z "$created" ] || rm -f "$policy"
  for service in $services; do
    for link in /etc/systemd/system/*.wants/"$service.service"; do
      [ ! -L "$link" ] || { DPKG_MAINTSCRIPT_PACKAGE=$service deb-systemd-helper disable "$service.service" >&2; break; }
    done
    for link in /etc/rc[2345].d/S[0-9][0-9]"$service"; do
      [ ! -L "$link" ] || { update-rc.d "$service" disable >&2; break; }
    done
  done
  exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
if (set -C; printf '#!/bin/sh\\nexit 101\\n' >"$policy") 2>/dev/null; then
  created=yes
  chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -y "$@"`

/**
 * Installs what is missing with apt-get. Throws a `UserError` with the command to run where this process may not, and
 * on a machine without dpkg; costs one dpkg-query when nothing is missing.
 */
export async function ensurePackages(purpose: Purpose, log: Log): Promise<void> {
  const needed = neededPackages(purpose)
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
    const services = SERVICES.filter((name) => missing.includes(name)).join(' ')
    const [program, ...rest] = [...sudo, 'sh', '-c', APT_SCRIPT, 'sh', POLICY, services, ...args]
    const result = await execa(program as string, rest, {
      all: true,
      reject: false,
      stdin: sudo.length > 0 ? 'inherit' : 'ignore',
    })
    return result.exitCode === 0 ? undefined : (result.all ?? '')
  }
  const install = async (): Promise<string | undefined> => {
    const order = ['-q', '-o', 'Dpkg::Use-Pty=0', 'install', '--no-install-recommends', ...missing]
    // Lists that are absent or older than the archive make the first try fail; only then is fetching them worth it.
    if ((await readdir('/var/lib/apt/lists').catch(() => [])).length > 2) {
      if ((await apt(order)) === undefined) return undefined
    }
    log('fetching the package lists (apt-get update)')
    return (await apt(['-q', 'update'])) ?? (await apt(order))
  }
  const failure = await install()
  if (failure !== undefined) {
    const reason = failure.split('\n').findLast((line) => line.startsWith('E:')) ?? failure.trim().split('\n').at(-1)
    throw new UserError(
      `installing packages failed (${reason ?? 'no reason given'}); as root, run: ${installCommand(missing)}`,
    )
  }
}
