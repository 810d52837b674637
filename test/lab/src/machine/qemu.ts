/** QEMU's command line for one machine. */
import type { Accelerator } from './accelerator.ts'
import type { Kernel } from './kernel.ts'

export interface QemuOptions {
  accelerator: Exclude<Accelerator, 'uml'>
  kernel: Pick<Kernel, 'image' | 'initrd'>
  memoryMiB: number
  cpus: number
  /** Directory that is writable from both sides. */
  share: string
  /** File for the first serial port: the guest's console. */
  console: string
  /** Two FIFOs, `.in` and `.out` of this name, for the second: orders to the guest. */
  doorbell: string
}

/** In QEMU's option lists a comma ends a value, and two commas are one. */
const value = (text: string): string => text.replaceAll(',', ',,')

/** Arguments of qemu-system-x86_64: no network, no disk, no graphics; the host's root file system read-only over 9p. */
export function qemuArguments(options: QemuOptions): string[] {
  const { accelerator, kernel, memoryMiB, cpus, share, console, doorbell } = options
  // Emulated, every feature costs: five-level page tables, SMAP and wide registers make programs start half as fast.
  const processor = accelerator === 'kvm' ? 'host' : 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt'
  const folder = (id: string, path: string, more: string): string[] => [
    '-fsdev',
    `local,id=${id},path=${value(path)},security_model=none${more}`,
    '-device',
    `virtio-9p-pci,fsdev=${id},mount_tag=${id}`,
  ]
  const groups = [
    ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-monitor', 'none', '-nic', 'none'],
    ['-M', 'q35', '-accel', accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi', '-cpu', processor],
    ['-m', String(memoryMiB), '-smp', String(cpus), '-device', 'virtio-rng-pci'],
    ['-chardev', `file,id=console,path=${value(console)}`, '-serial', 'chardev:console'],
    ['-chardev', `pipe,id=doorbell,path=${value(doorbell)}`, '-serial', 'chardev:doorbell'],
    ['-kernel', kernel.image, ...(kernel.initrd === undefined ? [] : ['-initrd', kernel.initrd])],
    // Without the time-stamp counter every look at the clock is a trip to an emulated timer, under QEMU's one lock.
    ['-append', 'console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable'],
    // Files of different mounts below the root may have the same inode number, which the guest must not see.
    folder('root', '/', ',readonly=on,multidevs=remap'),
    folder('share', share, ''),
  ]
  return groups.flat()
}
