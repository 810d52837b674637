import { expect, test } from 'vitest'
import { UserError } from '@vpn-gateway/config'
import { parseDemoArguments } from '../src/arguments.ts'

test('defaults, and a file for the figures', () => {
  expect(parseDemoArguments([])).toEqual({
    help: false,
    story: 'demo',
    only: [],
    flows: 300,
    minutes: 10,
    noKvm: false,
  })
  expect(parseDemoArguments(['--json', 'out.json', '--flows', '60'])).toEqual({
    help: false,
    story: 'demo',
    only: [],
    flows: 60,
    minutes: 10,
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
  expect(parseDemoArguments(['--story', 'leaks', '--only', 'ipv6'])).toMatchObject({ story: 'leaks', only: ['ipv6'] })
})

test('chaos, by a seed or a trace', () => {
  const chaos = ['--story', 'chaos']
  expect(parseDemoArguments(chaos)).toMatchObject({ story: 'chaos', flows: 60, minutes: 10 })
  expect(parseDemoArguments(chaos)).not.toHaveProperty('seed')
  expect(parseDemoArguments([...chaos, '--minutes', '30', '--seed', '7'])).toMatchObject({ minutes: 30, seed: 7 })
  expect(parseDemoArguments([...chaos, '--replay', 'trace.json'])).toMatchObject({ replay: 'trace.json' })
})

test.each([
  [['--flows', '0'], '--flows: "0": expected a whole number from 30 to 6000'],
  [['--flows', '1e2'], '--flows: "1e2": expected a whole number from 30 to 6000'],
  [['--story', 'fairy'], '--story: "fairy": expected demo, failover, chaos, leaks'],
  [['--seed', '7'], '--seed: npm run chaos takes it'],
  [['--story', 'failover', '--replay', 'x'], '--replay: npm run chaos takes it'],
  [['--story', 'chaos', '--minutes', '0'], '--minutes: "0": expected a whole number from 1 to 1440'],
  [['--story', 'chaos', '--seed', '-1'], "Option '--seed' argument is ambiguous: --help lists the options"],
  [['--story', 'chaos', '--seed=-1'], '--seed: "-1": expected a whole number from 0 to 4294967295'],
  [['--story', 'chaos', '--seed', '4294967296'], '--seed: "4294967296": expected a whole number from 0 to 4294967295'],
  [
    ['--story', 'chaos', '--replay', 'x', '--seed', '1'],
    '--replay: the trace says what happens, expected neither --seed nor --minutes',
  ],
  [['--story', 'chaos', '--only', 'cut'], '--only: the chaos is told whole'],
  [['--story', 'leaks', '--seed', '7'], '--seed: npm run chaos takes it'],
  [['--only', 'cut'], '--only: the demo is told whole'],
  [['--flow'], "Unknown option '--flow': --help lists the options"],
])('%j is refused', (args, problem) => {
  expect(() => parseDemoArguments(args)).toThrow(new UserError(problem))
})
