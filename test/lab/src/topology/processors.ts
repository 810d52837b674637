/**
 * How many processors an emulated machine works with. WireGuard hands every packet to the next processor in turn, and
 * under emulation waking another one costs more than all the rest: on two shared cores a ping through one tunnel took
 * 0.2 ms with one processor and 14 ms with two. Programs start faster with two, so one is switched off only then.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const PROCESSORS = '/sys/devices/system/cpu'

/** Whether this kernel runs under QEMU's emulator; false where that cannot be told, so that no real machine is touched. */
async function isEmulated(): Promise<boolean> {
  return /^model name\s*:\s*QEMU TCG CPU/m.test(await readFile('/proc/cpuinfo', 'utf8'))
}

async function switchOthers(online: boolean): Promise<void> {
  if (!(await isEmulated())) return
  const names = (await readdir(PROCESSORS)).filter((name) => /^cpu[1-9]\d*$/.test(name))
  for (const name of names) await writeFile(join(PROCESSORS, name, 'online'), online ? '1' : '0')
}

/** Switches all processors but the first off, in an emulated machine only. */
export const useOneProcessor = (): Promise<void> => switchOthers(false)

/** Switches all processors on again, in an emulated machine only. */
export const useAllProcessors = (): Promise<void> => switchOthers(true)
