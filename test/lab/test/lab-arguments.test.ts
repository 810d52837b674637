import { UserError } from '@vpn-gateway/config'
import { describe, expect, test } from 'vitest'
import { parseLabArguments } from '../src/lab-arguments.ts'

const flags = { native: false, noLab: false, single: false, noKvm: false, images: false }

describe('the lab command', () => {
  test.each([
    [['--help'], { command: 'help' }],
    [['up'], { command: 'up', flags }],
    [['up', '--native', '--no-lab'], { command: 'up', flags: { ...flags, native: true, noLab: true } }],
    [['up', '--memory', '2048'], { command: 'up', flags: { ...flags, memoryMiB: 2048 } }],
    [['up', '--memory=2048', '--no-kvm'], { command: 'up', flags: { ...flags, noKvm: true, memoryMiB: 2048 } }],
    [['up', '--single'], { command: 'up', flags: { ...flags, single: true } }],
    [['down'], { command: 'down' }],
    [['status'], { command: 'status' }],
    [
      ['exec', 'client-0', '--', 'ip', '-j', 'route'],
      { command: 'exec', host: 'client-0', argv: ['ip', '-j', 'route'] },
    ],
    [['exec', 'vm', 'ls', '--', 'x'], { command: 'exec', host: 'vm', argv: ['ls', '--', 'x'] }],
    [['run', 'a b.sh'], { command: 'run', flags, script: 'a b.sh', args: [] }],
    [
      ['run', '--no-lab', 'x.sh', '--native'],
      { command: 'run', flags: { ...flags, noLab: true }, script: 'x.sh', args: ['--native'] },
    ],
  ])('%j', (args, request) => {
    expect(parseLabArguments(args)).toEqual(request)
  })

  test.each([
    [[], /up, down, status, exec or run expected/],
    [['fly'], /unknown command fly/],
    [['up', 'now'], /unexpected now/],
    [['up', '--fast'], /unknown option --fast/],
    [['up', '--native=3'], /lab up: --native takes no value/],
    [['up', '--memory'], /512 or more/],
    [['up', '--memory', '64'], /512 or more/],
    [['up', '--memory', '1e4'], /512 or more/],
    [['exec'], /a host and a command/],
    [['exec', 'client-0', '--'], /a host and a command/],
    [['exec', '--', 'ls'], /a host and a command/],
    [['run'], /a bash script/],
  ])('%j is refused in one line', (args, message) => {
    let problem: unknown
    try {
      parseLabArguments(args)
    } catch (error) {
      problem = error
    }
    expect(problem).toBeInstanceOf(UserError)
    expect((problem as UserError).problems).toEqual([expect.stringMatching(message)])
  })
})
