/** In which ways a machine of its own can be had here. */
import { constants } from 'node:fs'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** QEMU with KVM; the kernel as a program of this machine (user-mode Linux); QEMU with an emulated processor. */
export type Accelerator = 'kvm' | 'uml' | 'tcg'

/** What failed to start once, as KVM does in nested machines and a user-mode kernel where ptrace(2) is denied. */
const memory = (accelerator: Accelerator): string => `${accelerator}-failed-in-boot`

const bootId = (): Promise<string> => readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')

/** Whether it has not failed to start since the host's boot. */
async function mayWork(cache: string, accelerator: Accelerator): Promise<boolean> {
  const failed = await readFile(join(cache, memory(accelerator)), 'utf8').catch(() => '')
  return failed === '' || failed !== (await bootId())
}

/** The ways to try, the fastest first: KVM where this user may open /dev/kvm, and what has not failed since the host's boot. */
export async function chooseAccelerators(cache: string): Promise<Accelerator[]> {
  const kvm = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
  const ways: Accelerator[] = []
  if (kvm && (await mayWork(cache, 'kvm'))) ways.push('kvm')
  if (await mayWork(cache, 'uml')) ways.push('uml')
  return [...ways, 'tcg']
}

/** Remembers that it does not start here, until the host's next boot. */
export async function rememberFailure(cache: string, accelerator: Accelerator): Promise<void> {
  await mkdir(cache, { recursive: true })
  await writeFile(join(cache, memory(accelerator)), await bootId())
}
