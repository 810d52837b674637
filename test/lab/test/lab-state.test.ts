import { UserError } from '@vpn-gateway/config'
import { expect, test } from 'vitest'
import { type LabState, requireSame } from '../src/lab-state.ts'
import { requireArchitecture } from '../src/machine/vm.ts'

const up: LabState = {
  kind: 'vm',
  lab: true,
  since: '2026-01-01T00:00:00.000Z',
  single: false,
  images: false,
  noKvm: false,
  memoryMiB: 2048,
  address: { main: { pid: 1, started: '1' }, directory: '/d', share: '/d/share' },
}
const flags = { native: false, noLab: false, single: false, noKvm: false, images: false }

test('what was not asked for may differ, what is the same may be asked for', () => {
  expect(() => requireSame({ ...up, single: true, noKvm: true }, flags)).not.toThrow()
  expect(() => requireSame(up, { ...flags, memoryMiB: 2048 })).not.toThrow()
  expect(() => requireSame({ ...up, lab: false }, { ...flags, single: true })).not.toThrow()
})

test.each([
  [{ native: true }, '--native'],
  [{ single: true }, '--single'],
  [{ images: true }, '--images'],
  [{ noKvm: true, memoryMiB: 4096 }, '--no-kvm, --memory 4096'],
])('what is up has no %j', (asked, named) => {
  expect(() => requireSame(up, { ...flags, ...asked })).toThrow(
    new UserError(`lab: ${named}: one without is up already; run npm run lab -- down first`),
  )
})

test('the virtual machine is for x86-64 only', () => {
  expect(() => requireArchitecture('x64')).not.toThrow()
  expect(() => requireArchitecture('arm64')).toThrow(
    new UserError("the lab's virtual machine needs x86-64; this is arm64"),
  )
})
