import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
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

describe('for a user who is not root', () => {
  const machine = new URL('../src/machine/packages.ts', import.meta.url).href
  /** A machine that lacks every package, as nobody; says what was told and refused. */
  const program = `import { ensurePackages } from ${JSON.stringify(machine)}
if (process.getuid() === 0) process.setuid(65534)
await ensurePackages('vm', (line) => console.log('told:', line)).catch((error) => console.log('refused:', error.problems.join()))`
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-sudo-'))
    await chmod(directory, 0o755)
  })
  afterEach(() => rm(directory, { recursive: true }))

  /** What is said with a sudo of ours, whose questions are in between; `knows` is what it does without one. */
  async function ensure(knows: 'password' | 'nothing', terminal: boolean): Promise<string[]> {
    const sudo = `case $1 in
  -n) exit ${knows === 'password' ? 1 : 0} ;;
  --validate) echo asked ;;
  sh) echo installed >>${directory}/installed ;;
esac`
    await writeFile(join(directory, 'installed'), '')
    await chmod(join(directory, 'installed'), 0o666)
    for (const [name, text] of Object.entries({ sudo, 'dpkg-query': 'exit 1' })) {
      await writeFile(join(directory, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
    }
    await writeFile(join(directory, 'program.mjs'), program)
    const command = [process.execPath, join(directory, 'program.mjs')]
    // script(1) gives it a terminal of its own.
    const [file, ...args] = terminal ? ['script', '-qec', command.join(' '), '/dev/null'] : command
    const env = { ...process.env, PATH: `${directory}:${process.env['PATH']}` }
    const run = promisify(execFile)(file as string, args, { env })
    run.child.stdin?.end()
    const said = `${(await run).stdout}${await readFile(join(directory, 'installed'), 'utf8')}`
    // Without package lists some is said twice.
    return [...new Set(said.split(/[\r\n]+/).flatMap((line) => /^\w+/.exec(line)?.[0] ?? []))]
  }

  test('without a terminal nothing is asked, and the command to type is told', async () => {
    expect(await ensure('password', false)).toEqual(['refused'])
  })

  test('on a terminal the question comes before anything else is said', async () => {
    expect(await ensure('password', true)).toEqual(['asked', 'told', 'installed'])
  })

  test('who is asked nothing needs no terminal', async () => {
    expect(await ensure('nothing', false)).toEqual(['told', 'installed'])
  })
})
