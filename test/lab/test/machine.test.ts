import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { newestChange } from '../src/machine/bundles.ts'
import { cacheDirectory, repositoryKey } from '../src/machine/cache.ts'
import { clockRate, isTrueClock } from '../src/machine/clock.ts'
import { loadOrder } from '../src/machine/kernel-modules.ts'
import { kernelDependencies, kernelMetaPackages } from '../src/machine/kernel.ts'
import { installCommand, missingPackages, neededPackages } from '../src/machine/packages.ts'
import { identifyProcess, isRunning } from '../src/machine/process-identity.ts'
import { qemuArguments } from '../src/machine/qemu.ts'
import { umlArguments } from '../src/machine/uml.ts'
import { newestSourcePackage } from '../src/machine/user-mode-kernel.ts'

describe('user-mode kernel', () => {
  test('the newest source package is taken, by its number and not by its text', () => {
    const listed = 'linux-source-6.1\nlinux-source-6.12\nlinux-source-6.9\nlinux-source\nlinux-source-6.12-rt\n'
    expect(newestSourcePackage(listed)).toBe('linux-source-6.12')
    expect(newestSourcePackage('linux-source\n')).toBeUndefined()
    expect(newestSourcePackage('linux-source-6.1\nlinux-source-6.8.0\n')).toBeUndefined()
  })

  test('the first program’s words come last, after all of the kernel’s', () => {
    const args = umlArguments({ memoryMiB: 512, share: '/s', init: '/s/init.sh', directory: '/d' })
    expect(args.slice(-2)).toEqual(['--', '/s/init.sh'])
    expect(args).toContain('mem=512M')
    expect(args).toContain('share=/s')
  })

  test('its build needs a compiler, which a machine with KVM does not', () => {
    expect(neededPackages('user-mode')).toContain('gcc')
    expect(neededPackages('vm')).not.toContain('gcc')
  })
})

describe('packages', () => {
  test('only dpkg’s "installed" counts', () => {
    const status = 'kmod installed\nipvsadm config-files\nbash:amd64 installed\n'
    expect(missingPackages(['ipvsadm', 'keepalived', 'kmod'], status)).toEqual(['ipvsadm', 'keepalived'])
  })

  test('the machine’s own kernel needs no emulator', () => {
    expect(neededPackages('vm')).toContain('qemu-system-x86')
    expect(neededPackages('native')).not.toContain('qemu-system-x86')
    expect(neededPackages('native')).toContain('keepalived')
  })

  test('the command to type names what is missing and no more', () => {
    expect(installCommand(['a', 'b'])).toBe('apt-get update && apt-get install --no-install-recommends a b')
  })
})

describe('kernel', () => {
  test.each([
    ['ID=debian\n', 'linux-image-amd64'],
    ['NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', 'linux-image-generic'],
    ['ID=pop\nID_LIKE="ubuntu debian"\n', 'linux-image-generic'],
  ])('%j', (osRelease, name) => {
    expect(kernelMetaPackages(osRelease)).toEqual([name])
  })

  test('image and modules are followed, firmware and tools are not', () => {
    const depends = `linux-image-generic
  Depends: linux-image-6.8.0-31-generic
 |Depends: linux-modules-extra-6.8.0-31-generic
  Depends: linux-firmware
  Depends: linux-base
  Recommends: linux-modules-9.9-never
`
    expect(kernelDependencies(depends)).toEqual([
      'linux-image-6.8.0-31-generic',
      'linux-modules-extra-6.8.0-31-generic',
    ])
  })

  test('modules load after what they need, each once', () => {
    const dependencies = `kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/v/virtio.ko.xz kernel/v/virtio_ring.ko.xz
kernel/net/9p/9pnet.ko.xz:
kernel/v/virtio-pci.ko.xz: kernel/v/virtio.ko.xz kernel/v/virtio_ring.ko.xz
`
    expect(loadOrder(['virtio_pci', '9pnet_virtio', 'overlay'], dependencies, 'kernel/fs/overlay.ko\n')).toEqual([
      'kernel/v/virtio_ring.ko.xz',
      'kernel/v/virtio.ko.xz',
      'kernel/v/virtio-pci.ko.xz',
      'kernel/net/9p/9pnet.ko.xz',
      'kernel/net/9p/9pnet_virtio.ko.xz',
    ])
  })

  test('a module that is not there is named', () => {
    expect(() => loadOrder(['overlay'], '', '')).toThrow('no module overlay')
  })
})

describe('machine', () => {
  test.each([
    [3, 1, true],
    [2.9, 0.97, true],
    [15, 5, false],
    [1.5, 0.5, false],
  ])('a guest that counts %d s in 3 runs at %d', async (counted, rate, isTrue) => {
    const share = await mkdtemp(join(tmpdir(), 'clock-'))
    const leave = async (name: string, guest: number, host: number) => {
      await writeFile(join(share, name), `${guest.toFixed(2)}\n`)
      await utimes(join(share, name), host, host)
    }
    await leave('clock-0', 1.25, 1000)
    await leave('clock-1', 1.25 + counted, 1003)
    const measured = await clockRate(share)
    await rm(share, { recursive: true })
    expect(measured).toBeCloseTo(rate, 1)
    expect(isTrueClock(measured)).toBe(isTrue)
  })

  test('commas in paths do not end QEMU’s option values', () => {
    const args = qemuArguments({
      accelerator: 'tcg',
      kernel: { image: '/k', initrd: '/i' },
      memoryMiB: 1024,
      cpus: 2,
      share: '/a,b',
      console: '/c,d',
      doorbell: '/e',
    })
    expect(args).toContain('local,id=share,path=/a,,b,security_model=none')
    expect(args).toContain('file,id=console,path=/c,,d')
    expect(args).toContain('local,id=root,path=/,security_model=none,readonly=on,multidevs=remap')
  })

  test('a process is known by its start, not by its number alone', () => {
    const self = identifyProcess(process.pid)
    expect(self?.pid).toBe(process.pid)
    expect(isRunning(self!)).toBe(true)
    expect(isRunning({ pid: process.pid, started: '1' })).toBe(false)
  })

  test('the cache is where the user says, else where their system says', () => {
    expect(cacheDirectory({ VPN_GATEWAY_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a')
    expect(cacheDirectory({ XDG_CACHE_HOME: '/b' })).toBe('/b/vpn-gateway')
    expect(cacheDirectory({})).toMatch(/\/\.cache\/vpn-gateway$/)
    expect(repositoryKey('/one')).not.toBe(repositoryKey('/two'))
  })

  test('the newest file decides whether to build', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-'))
    try {
      const [old, young] = [join(directory, 'old'), join(directory, 'young')]
      await writeFile(old, '')
      await writeFile(young, '')
      await utimes(old, 1000, 1000)
      await utimes(young, 4_000_000_000, 4_000_000_000)
      expect(await newestChange([old])).toBe(1_000_000)
      expect(await newestChange([directory])).toBe(4_000_000_000_000)
      expect(await newestChange([join(directory, 'absent')])).toBe(0)
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
