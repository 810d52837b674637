/** Completion: bash itself is asked; of the others' scripts, that nothing is missing. */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { commandNames, optionsOf } from '../src/command-line.ts'
import { completion, shells } from '../src/completion.ts'

/** What bash offers for the last of these words. */
function offered(...words: string[]): string[] {
  const script = `${completion('bash')}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vpn_gateway; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', 'vpn-gateway', ...words], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return stdout.split('\n').filter(Boolean)
}

test.each([
  [[''], [...commandNames, '--help', '--version']],
  [['st'], ['status']],
  [
    ['plan', '--agent', ''],
    ['node', 'gateway', 'router'],
  ],
  [['render', '--mon'], ['--monitoring']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['check', 'no-such-fi'], []],
] as const)('bash: %j', (words, expected) => {
  expect(offered(...words)).toEqual(expected)
})

test.each(shells)('%s is given every command and every option', (shell) => {
  const text = completion(shell)
  for (const command of commandNames) {
    expect(text).toContain(command)
    for (const { flag } of optionsOf(command)) expect(text).toContain(flag)
  }
})
