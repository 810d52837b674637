/** Which machine the lab of this clone runs in, kept between commands. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
} & ({ kind: 'vm'; address: MachineAddress } | { kind: 'native'; address: NativeAddress })

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
  if (isRunning(state.kind === 'vm' ? state.address.qemu : state.address.holder)) return state
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
