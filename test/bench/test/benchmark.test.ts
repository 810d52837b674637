import { expect, test } from 'vitest'
import { brokenPromises, table, type Figure, type Report } from '../src/benchmark.ts'

const figure = (value: number, unit: Figure['unit'], most?: number): Figure => ({
  figure: 'one',
  value,
  unit,
  method: 'counted',
  ...(most === undefined ? {} : { most }),
})
const report = (kind: Report['machine']['kind'], ...figures: Figure[]): Report => ({
  benchmark: 'some',
  title: 'Some',
  machine: { kind, kernel: '6.1', cpus: 2, cpu: 'Some CPU', node: 'v24' },
  at: '2026-01-01T00:00:00Z',
  figures,
})

test('a row for each figure, with three digits and its unit', () => {
  const rows = table(report('kvm', figure(12_345, 'packets/s'), figure(0.98765, 'ratio', 1))).split('\n')
  expect(rows).toContain('| one | 12,300 packets/s |  | counted |')
  expect(rows).toContain('| one | 0.988 | ≤ 1 | counted |')
})

test('a promise about time holds on hardware only, every other one everywhere', () => {
  const late = figure(51, 'ms', 50)
  const lost = figure(1, 'count', 0)
  const fine = figure(50, 'ms', 50)
  expect(brokenPromises(report('emulated', late, lost, fine))).toEqual([lost])
  expect(brokenPromises(report('kvm', late, lost, fine))).toEqual([late, lost])
})
