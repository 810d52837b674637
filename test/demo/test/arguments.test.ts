import { expect, test } from 'vitest'
import { UserError } from '@vpn-gateway/config'
import { parseDemoArguments } from '../src/arguments.ts'

test('defaults, and a file for the figures', () => {
  expect(parseDemoArguments([])).toEqual({ help: false, story: 'demo', only: [], flows: 300, noKvm: false })
  expect(parseDemoArguments(['--json', 'out.json', '--flows', '60'])).toEqual({
    help: false,
    story: 'demo',
    only: [],
    flows: 60,
    noKvm: false,
    json: 'out.json',
  })
})

test('help, in either spelling', () => {
  expect(parseDemoArguments(['-h']).help).toBe(true)
  expect(parseDemoArguments(['--help']).help).toBe(true)
})

test('another story, and some of it', () => {
  const args = ['--story', 'failover', '--only', 'cut', '--only', 'killed']
  expect(parseDemoArguments(args)).toMatchObject({ story: 'failover', only: ['cut', 'killed'] })
})

test.each([
  [['--flows', '0'], '--flows: "0": expected a whole number from 30 to 6000'],
  [['--flows', '1e2'], '--flows: "1e2": expected a whole number from 30 to 6000'],
  [['--story', 'fairy'], '--story: "fairy": expected demo or failover'],
  [['--only', 'cut'], '--only: the demo is told whole'],
  [['--flow'], "Unknown option '--flow': --help lists the options"],
])('%j is refused', (args, problem) => {
  expect(() => parseDemoArguments(args)).toThrow(new UserError(problem))
})
