/** The distribution's stock kernel, unpacked into the cache: no root, nothing installed, nothing fetched twice. */
import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ExecaError, execa } from 'execa'
import { downloadPackages } from './download.ts'
import type { Log } from './machine.ts'
import { writeInitrd } from './initrd.ts'
import { systemPath } from './system-path.ts'

export interface Kernel {
  /** What `uname -r` says inside. */
  readonly version: string
  /** Path of the bootable image. */
  readonly image: string
  /** Path of the initial RAM disk that mounts the host's root file system; a user-mode kernel needs none. */
  readonly initrd?: string
  /** Path of the modules' directory, for /lib/modules inside. */
  readonly modules: string
}

/** Names of the packages whose dependencies lead to the newest stock kernel; `osRelease` is /etc/os-release. */
export function kernelMetaPackages(osRelease: string): string[] {
  const id = /^ID=["']?([a-z]+)/m.exec(osRelease)?.[1]
  const like = /^ID_LIKE=["']?([a-z ]+)/m.exec(osRelease)?.[1]?.split(' ') ?? []
  // Ubuntu's "virtual" kernel leaves modules out that "generic" has.
  return id === 'ubuntu' || like.includes('ubuntu') ? ['linux-image-generic'] : ['linux-image-amd64']
}

/** Names in apt-cache's list of dependencies that carry a part of a kernel: its image or its modules. */
export function kernelDependencies(aptCacheDepends: string): string[] {
  const names = [...aptCacheDepends.matchAll(/^[ |]*Depends: (\S+)/gm)].map((match) => match[1] as string)
  return names.filter((name) => /^linux-(image|image-unsigned|binary|modules|modules-extra|main-modules)-\d/.test(name))
}

/** Parts of the tree that no virtual machine with only virtio devices has a use for; most of its size. */
const UNUSED = [
  'sound',
  ...['gpu', 'media', 'infiniband', 'staging', 'iio', 'scsi', 'usb', 'hid', 'input', 'hwmon'].map(
    (name) => `drivers/${name}`,
  ),
]

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** The newest kernel that is unpacked already. */
async function unpackedKernel(directory: string): Promise<string | undefined> {
  const versions = (await readdir(directory).catch(() => [])).filter((name) => /^\d/.test(name))
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
}

/** Names of the stock kernel's packages, as far as apt's lists know them. */
async function kernelPackages(options: readonly string[]): Promise<string[]> {
  const packages = new Set<string>()
  const queue = kernelMetaPackages(await readFile('/etc/os-release', 'utf8'))
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const { stdout } = await execa('apt-cache', [...options, 'depends', name], { reject: false, env: { LC_ALL: 'C' } })
    for (const part of kernelDependencies(stdout).filter((found) => !packages.has(found))) {
      packages.add(part)
      queue.push(part)
    }
  }
  return [...packages]
}

async function fetchKernel(kernels: string, log: Log): Promise<string> {
  await mkdir(kernels, { recursive: true })
  const work = await mkdtemp(join(kernels, '.unpacking-'))
  try {
    await downloadPackages(work, kernelPackages, log)
    log('unpacking the kernel')
    const root = join(work, 'root')
    await mkdir(join(root, 'usr'), { recursive: true })
    for (const file of (await readdir(work)).filter((name) => name.endsWith('.deb'))) {
      await execa('dpkg-deb', ['-x', join(work, file), root])
      await rm(join(work, file))
    }
    // One tree under both names, whichever of them the packages use and depmod was built for.
    if (await exists(join(root, 'usr/lib'))) {
      await execa('cp', ['-alT', join(root, 'usr/lib'), join(root, 'lib')])
      await rm(join(root, 'usr/lib'), { recursive: true })
    }
    await symlink('../lib', join(root, 'usr/lib'))
    const version = (await readdir(join(root, 'lib/modules')))[0]
    if (version === undefined) throw new Error('the kernel package holds no modules')
    for (const part of UNUSED)
      await rm(join(root, 'lib/modules', version, 'kernel', part), { recursive: true, force: true })
    await execa('depmod', ['-b', root, version], { env: { PATH: systemPath() } })
    // A second process may have been as far as this: what it put there is as good.
    await rename(root, join(kernels, version)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
    return version
  } catch (error) {
    if (error instanceof ExecaError) throw new Error(`preparing the kernel: ${error.shortMessage}`, { cause: error })
    throw error
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** The stock kernel, from the cache when it is there; otherwise downloaded and unpacked, which takes half a minute. */
export async function ensureKernel(cache: string, log: Log): Promise<Kernel> {
  const kernels = join(cache, 'kernels')
  const version = (await unpackedKernel(kernels)) ?? (await fetchKernel(kernels, log))
  const root = join(kernels, version)
  const modules = join(root, 'lib/modules', version)
  const candidates = [join(root, 'boot', `vmlinuz-${version}`), join(modules, 'vmlinuz')]
  for (const image of candidates) {
    if (await exists(image)) return { version, image, modules, initrd: await writeInitrd(root, modules) }
  }
  throw new Error(`no kernel image in ${root}: remove that directory and try again`)
}
