/** Which machine the lab of this clone runs in, kept between commands. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from '@vpn-gateway/config'
import type { LabFlags } from './lab-arguments.ts'
import { cacheDirectory, repositoryKey } from './machine/cache.ts'
import type { Machine } from './machine/machine.ts'
import { type NativeAddress, attachNative } from './machine/native.ts'
import { isRunning } from './machine/process-identity.ts'
import { type MachineAddress, attachMachine } from './machine/vm.ts'
import { repositoryRoot } from './paths.ts'

export type LabState = {
  /** Whether the whole system was brought up in the machine. */
  lab: boolean
  /** ISO 8601. */
  since: string
  /** The lab in it is the simple alternative. */
  single: boolean
  /** Its agents run in their images. */
  images: boolean
  /** Options that the virtual machine was started with. */
  noKvm: boolean
  memoryMiB?: number
} & ({ kind: 'vm'; address: MachineAddress } | { kind: 'native'; address: NativeAddress })

/**
 * Throws a `UserError` for options that the machine which is up does not have; what was not asked for may differ. Without
 * a lab in it yet, it can still be told which one to bring up.
 */
export function requireSame(state: LabState, flags: LabFlags): void {
  const different = [
    flags.native && state.kind !== 'native' ? '--native' : undefined,
    flags.noKvm && !state.noKvm ? '--no-kvm' : undefined,
    flags.single && state.lab && !state.single ? '--single' : undefined,
    flags.images && state.lab && !state.images ? '--images' : undefined,
    flags.memoryMiB !== undefined && flags.memoryMiB !== state.memoryMiB ? `--memory ${flags.memoryMiB}` : undefined,
  ].filter((option) => option !== undefined)
  if (different.length === 0) return
  throw new UserError(`lab: ${different.join(', ')}: one without is up already; run npm run lab -- down first`)
}

const stateFile = (): string => join(cacheDirectory(), 'labs', `${repositoryKey(repositoryRoot())}.json`)

/** The machine that a state speaks of. */
export function attachState(state: LabState): Machine {
  return state.kind === 'vm' ? attachMachine(state.address) : attachNative(state.address)
}

/** The state of this clone's lab, or undefined when none is up; what a dead one left behind is removed. */
export async function readState(): Promise<LabState | undefined> {
  const text = await readFile(stateFile(), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const state = JSON.parse(text) as LabState
  if (isRunning(state.kind === 'vm' ? state.address.main : state.address.holder)) return state
  await attachState(state).shutdown()
  await clearState()
  return undefined
}

export async function writeState(state: LabState): Promise<void> {
  const file = stateFile()
  await mkdir(join(file, '..'), { recursive: true })
  await writeFile(`${file}.new`, JSON.stringify(state, undefined, 2))
  await rename(`${file}.new`, file)
}

export async function clearState(): Promise<void> {
  await rm(stateFile(), { force: true })
}
