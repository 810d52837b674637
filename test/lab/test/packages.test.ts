import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { APT_SCRIPT } from '../src/machine/packages.ts'

describe('no service starts while packages are installed', () => {
  let directory = ''
  let policy = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-apt-'))
    policy = join(directory, 'policy-rc.d')
  })
  afterEach(() => rm(directory, { recursive: true }))

  /** Runs the script with an apt-get of ours in front of PATH, which says "began" first. */
  async function start(aptGet: string) {
    await writeFile(join(directory, 'apt-get'), `#!/bin/sh\necho began "$@"\n${aptGet}\n`, { mode: 0o755 })
    const child = spawn('sh', ['-c', APT_SCRIPT, 'sh', policy, '', 'install', 'a b'], {
      env: { PATH: `${directory}:${process.env['PATH']}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise<number | null>((done) => child.once('exit', done))
    const began = new Promise<string>((done) => child.stdout.once('data', (data: Buffer) => done(data.toString())))
    return { child, ended, began: await began }
  }

  test('the policy is there meanwhile, and gone afterwards', async () => {
    const { began, ended } = await start(`cat ${policy} >${directory}/seen; exit 100`)
    expect(began).toBe('began -y install a b\n')
    expect(await ended).toBe(100)
    expect(await readFile(join(directory, 'seen'), 'utf8')).toBe('#!/bin/sh\nexit 101\n')
    expect(existsSync(policy)).toBe(false)
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s removes it once apt-get has ended', async (signal, code) => {
    const { child, ended } = await start(`until [ -e ${directory}/go ]; do :; done; [ -e ${policy} ] && exit 0`)
    child.kill(signal)
    await writeFile(join(directory, 'go'), '')
    expect(await ended).toBe(code)
    expect(existsSync(policy)).toBe(false)
  })

  test('a policy of the administrator’s stays', async () => {
    await writeFile(policy, 'mine')
    const { ended } = await start('exit 0')
    expect(await ended).toBe(0)
    expect(await readFile(policy, 'utf8')).toBe('mine')
  })
})
