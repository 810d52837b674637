/** Whether QEMU may use the processor's own virtualisation. */
import { constants } from 'node:fs'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export type Accelerator = 'kvm' | 'tcg'

/** /dev/kvm may open and yet run nothing, as in nested machines; what failed once is not tried again until a reboot. */
const MEMORY = 'kvm-failed-in-boot'

const bootId = (): Promise<string> => readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')

/** KVM where this user may open /dev/kvm and it has not failed since the host's boot, else software emulation. */
export async function chooseAccelerator(cache: string): Promise<Accelerator> {
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
  if (!usable) return 'tcg'
  const failed = await readFile(join(cache, MEMORY), 'utf8').catch(() => '')
  return failed !== '' && failed === (await bootId()) ? 'tcg' : 'kvm'
}

/** Remembers that KVM cannot be used here. */
export async function rememberKvmFailure(cache: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  await writeFile(join(cache, MEMORY), await bootId())
}
