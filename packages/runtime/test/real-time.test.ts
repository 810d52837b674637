import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { inRealTime } from '../src/real-time.ts'

const round = 2

function run(argv: readonly [string, ...string[]]) {
  const [program, ...args] = argv
  return spawnSync(program, args, { encoding: 'utf8' })
}

test('a program keeps its process, and is real-time exactly where that is allowed', () => {
  const allowed = run(['chrt', '--rr', '7', 'true']).status === 0
  const { pid, stdout, stderr } = run(inRealTime(7, ['cat', '/proc/self/stat']))
  // proc_pid_stat(5): rt_priority is the 40th field, policy the 41st, counted from the name in parentheses as the second.
  const fields = stdout.slice(stdout.lastIndexOf(')') + 2).split(' ')
  expect(Number(stdout.split(' ')[0])).toBe(pid)
  expect([fields[37], fields[38]]).toEqual(allowed ? ['7', String(round)] : ['0', '0'])
  expect(stderr).toMatch(allowed ? /^$/ : /chrt/)
})

test('an argument with blanks and quotes stays one', () => {
  expect(run(inRealTime(1, ['printf', '%s|', `a b'"$c`, 'd'])).stdout).toBe(`a b'"$c|d|`)
})
