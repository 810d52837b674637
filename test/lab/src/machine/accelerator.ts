/** In which ways a machine of its own can be had here. */
import { constants } from 'node:fs'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** QEMU with KVM; the kernel as a program of this machine (user-mode Linux); QEMU with an emulated processor. */
export type Accelerator = 'kvm' | 'uml' | 'tcg'

/** /dev/kvm may open and yet run nothing, as in nested machines; what failed once is not tried again until a reboot. */
const MEMORY = 'kvm-failed-in-boot'

const bootId = (): Promise<string> => readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')

/** The ways to try, the fastest first: KVM where this user may open /dev/kvm and it has not failed since the host's boot. */
export async function chooseAccelerators(cache: string): Promise<Accelerator[]> {
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
  const failed = await readFile(join(cache, MEMORY), 'utf8').catch(() => '')
  const works = usable && (failed === '' || failed !== (await bootId()))
  return works ? ['kvm', 'uml', 'tcg'] : ['uml', 'tcg']
}

/** Remembers that KVM cannot be used here. */
export async function rememberKvmFailure(cache: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  await writeFile(join(cache, MEMORY), await bootId())
}
