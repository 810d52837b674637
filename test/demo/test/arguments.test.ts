import { expect, test } from 'vitest'
import { UserError } from '@vpn-gateway/config'
import { parseDemoArguments } from '../src/arguments.ts'

test('defaults, and a file for the figures', () => {
  expect(parseDemoArguments([])).toEqual({ help: false, flows: 300, noKvm: false })
  expect(parseDemoArguments(['--json', 'out.json', '--flows', '60'])).toEqual({
    help: false,
    flows: 60,
    noKvm: false,
    json: 'out.json',
  })
})

test.each([
  [['--flows', '0'], '--flows: "0": expected a whole number from 30 to 2000'],
  [['--flow'], "Unknown option '--flow': --help lists the options"],
])('%j is refused', (args, problem) => {
  expect(() => parseDemoArguments(args)).toThrow(new UserError(problem))
})
